package ollama

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// listTimeout is how long a server is given to tell its models.
const listTimeout = 5 * time.Second

// list puts together what several servers list: their members of one name, each in the
// order in which its server has them, of those that can be asked for there. Where two
// have the same model, which is one to callers, it is listed once; what is loaded is
// loaded on each. A server that does not answer is left out, as long as another does.
func (s *surface) list(w http.ResponseWriter, r *http.Request, f form, servers []server, member, name string) {
	lists := make([]*list, len(servers))
	var all sync.WaitGroup
	for i, one := range servers {
		all.Go(func() {
			l, err := one.list(r, member)
			if err != nil {
				one.log.Warn("a model server does not list its models", "url", one.url.String(), "path", r.URL.Path, "error", err)
				return
			}
			lists[i] = l
		})
	}
	all.Wait()
	var first *list
	entries := []json.RawMessage{}
	seen := map[string]bool{}
	for i, l := range lists {
		if l == nil {
			continue
		}
		if first == nil {
			first = l
		}
		for _, e := range l.entries {
			o, _ := parseObject(e) // what is no object has no name
			var model string
			if at := o.find(name); at < 0 || json.Unmarshal(o[at].value, &model) != nil {
				continue
			}
			if !servers[i].has(model) || seen[model] && r.URL.Path != psPath {
				continue
			}
			seen[model] = true
			entries = append(entries, e)
		}
	}
	if first == nil {
		f.fail(w, http.StatusBadGateway, "cannot reach any of the model servers: are they running?")
		return
	}
	first.whole.set(member, array(entries), "")
	body := append(first.whole.bytes(), first.end...)
	w.Header().Set("Content-Type", first.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	write(w, body) // which net/http leaves out for HEAD
}

// list is what one server lists.
type list struct {
	contentType string
	whole       object
	entries     []json.RawMessage
	end         []byte // of the body, behind the object
}

// list asks a server what it lists.
func (b *Backend) list(r *http.Request, member string) (*list, error) {
	ctx, cancel := context.WithTimeout(r.Context(), listTimeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.JoinPath(r.URL.Path).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Authorization", "User-Agent"} {
		if v := r.Header.Values(name); len(v) > 0 {
			q.Header[name] = v
		}
	}
	resp, err := b.callers.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err != nil {
		return nil, err
	}
	l := &list{contentType: resp.Header.Get("Content-Type"), end: body[len(bytes.TrimRight(body, "\n")):]}
	if l.whole, err = parseObject(body); err != nil {
		return nil, err
	}
	if i := l.whole.find(member); i >= 0 {
		if err := json.Unmarshal(l.whole[i].value, &l.entries); err != nil {
			return nil, fmt.Errorf("%s: %w", member, err)
		}
	}
	return l, nil
}
