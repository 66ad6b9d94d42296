package command

import (
	"fmt"
	"strconv"
	"strings"
)

// template is a text with placeholders, parsed.
type template []part

// part is a placeholder, or text as it is.
type part struct {
	literal string
	root    string   // ID, Attempt, Model, Labels or Input; "" for text as it is
	path    []string // below Labels, one name; below Input, any number
}

// String returns the placeholder as it is written.
func (p *part) String() string {
	return "{{." + strings.Join(append([]string{p.root}, p.path...), ".") + "}}"
}

const (
	opening = "{{"
	closing = "}}"
)

// parseTemplate reads a text with placeholders. It knows a small part of what text/template
// does, so that it can tell at once what cannot be, and which part of an argument came
// from a job.
func parseTemplate(text string) (template, error) {
	var t template
	for {
		before, rest, found := strings.Cut(text, opening)
		if before != "" {
			t = append(t, part{literal: before})
		}
		if !found {
			return t, nil
		}
		inside, after, err := cutPlaceholder(rest)
		if err != nil {
			return nil, err
		}
		p, err := parsePlaceholder(inside)
		if err != nil {
			return nil, err
		}
		if p.root != "" || p.literal != "" {
			t = append(t, p)
		}
		text = after
	}
}

// cutPlaceholder parts what stands between the braces from what follows them. Braces
// within a quoted text are text.
func cutPlaceholder(rest string) (inside, after string, err error) {
	word := strings.TrimLeft(rest, " ")
	quoted, _ := strconv.QuotedPrefix(word)
	skip := len(rest) - len(word) + len(quoted)
	inside, after, found := strings.Cut(rest[skip:], closing)
	if !found {
		return "", "", fmt.Errorf(`%q is not closed: end it with }}, or write {{"{{"}} for the braces themselves`, clipped(opening+rest))
	}
	return rest[:skip] + inside, after, nil
}

func parsePlaceholder(inside string) (part, error) {
	word := strings.Trim(inside, " ")
	if strings.HasPrefix(word, `"`) || strings.HasPrefix(word, "`") {
		text, err := strconv.Unquote(word)
		if err != nil {
			return part{}, fmt.Errorf("%q is not a quoted string of Go", clipped(word))
		}
		return part{literal: text}, nil
	}
	unknown := fmt.Errorf("{{%s}} is no placeholder: there are .ID, .Attempt, .Model, .Labels.name, .Input and .Input.field", clipped(inside))
	name, dotted := strings.CutPrefix(word, ".")
	root, below, deeper := strings.Cut(name, ".")
	if !dotted || strings.ContainsAny(word, " \t\r\n|()\"`{}\x00") {
		return part{}, unknown
	}
	p := part{root: root}
	switch {
	case root == "Input" && deeper:
		p.path = strings.Split(below, ".")
	case root == "Labels" && deeper:
		p.path = []string{below} // a name may have dots in it
	case root == "Input", !deeper && (root == "ID" || root == "Attempt" || root == "Model"):
	default:
		return part{}, unknown
	}
	for _, name := range p.path {
		if name == "" {
			return part{}, fmt.Errorf("%s has a field without a name", p.String())
		}
	}
	return p, nil
}

// clipped is the beginning of a text, for a message.
func clipped(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
