package echo

// Cut takes the first token off a text.
func Cut(text string) (token, rest string) { return cut(text) }

// ParseOptions reports whether a request has options that can be.
func ParseOptions(body []byte) error {
	_, err := parseOptions(body)
	return err
}
