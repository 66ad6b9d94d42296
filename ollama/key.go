package ollama

import "net/http"

// keyed shows a key to the server, in place of what a caller shows.
type keyed struct {
	next http.RoundTripper
	key  string
}

func (k *keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	shown := *r // a RoundTripper leaves requests as they are
	shown.Header = r.Header.Clone()
	shown.Header.Set("Authorization", "Bearer "+k.key)
	return k.next.RoundTrip(&shown)
}
