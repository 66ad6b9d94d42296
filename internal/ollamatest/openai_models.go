package ollamatest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func newOpenAIModel(name string, modified time.Time) openAIModel {
	owner := "library"
	if before, _, ok := strings.Cut(name, "/"); ok {
		owner = before
	}
	return openAIModel{name, "model", modified.Unix(), owner}
}

func (s *Server) openAIModels(w http.ResponseWriter, r *http.Request, req Request) {
	serveAs(w, r, req, struct{}{}, listForm{}, false, s.tags)
}

func (s *Server) openAIModel(w http.ResponseWriter, r *http.Request, req Request) {
	_, name, _ := cutLast(r.URL.Path, "/")
	serveAs(w, r, req, native{Model: name}, modelForm{name: name}, false, s.show)
}

// listForm is the form of answers of /v1/models.
type listForm struct{ openAIForm }

func (listForm) answer(native []byte) []byte {
	var list struct {
		Models []struct {
			Name       string
			ModifiedAt time.Time `json:"modified_at"`
		}
	}
	if json.Unmarshal(native, &list) != nil {
		return nil
	}
	var out []openAIModel
	for _, m := range list.Models {
		out = append(out, newOpenAIModel(m.Name, m.ModifiedAt))
	}
	return line(struct {
		Object string        `json:"object"`
		Data   []openAIModel `json:"data"`
	}{"list", out})
}

// modelForm is the form of answers of /v1/models/NAME.
type modelForm struct {
	openAIForm
	name string
}

func (f modelForm) answer(native []byte) []byte {
	var m struct {
		ModifiedAt time.Time `json:"modified_at"`
	}
	if json.Unmarshal(native, &m) != nil {
		return nil
	}
	return line(newOpenAIModel(f.name, m.ModifiedAt))
}
