package ollamatest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// modelSize is the size of every model in bytes.
const modelSize = 600_000

// modified is when every model came.
func modified() time.Time { return time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC) }

type details struct {
	ParentModel       string   `json:"parent_model"`
	Format            string   `json:"format"`
	Family            string   `json:"family"`
	Families          []string `json:"families"`
	ParameterSize     string   `json:"parameter_size"`
	QuantizationLevel string   `json:"quantization_level"`
}

func modelDetails() details {
	return details{Format: "gguf", Family: "llama", Families: []string{"llama"}, ParameterSize: "266.50K"}
}

func digest(model string) string {
	sum := sha256.Sum256([]byte(model))
	return hex.EncodeToString(sum[:])
}

func (s *Server) root(w http.ResponseWriter, _ *http.Request, _ Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	send(w, []byte("Ollama is running"))
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request, _ Request) {
	reply(w, http.StatusOK, map[string]string{"version": Version})
}

func (s *Server) tags(w http.ResponseWriter, _ *http.Request, _ Request) {
	type model struct {
		Name       string    `json:"name"`
		Model      string    `json:"model"`
		ModifiedAt time.Time `json:"modified_at"`
		Size       int64     `json:"size"`
		Digest     string    `json:"digest"`
		Details    details   `json:"details"`
	}
	list := []model{}
	for _, name := range s.models.names() {
		list = append(list, model{name, name, modified(), modelSize, digest(name), modelDetails()})
	}
	reply(w, http.StatusOK, map[string]any{"models": list})
}

func (s *Server) ps(w http.ResponseWriter, _ *http.Request, _ Request) {
	type model struct {
		Name          string    `json:"name"`
		Model         string    `json:"model"`
		Size          int64     `json:"size"`
		Digest        string    `json:"digest"`
		Details       details   `json:"details"`
		ExpiresAt     time.Time `json:"expires_at"`
		SizeVRAM      int64     `json:"size_vram"`
		ContextLength int       `json:"context_length"`
	}
	list := []model{}
	for _, r := range s.sched.status() {
		list = append(list, model{r.model, r.model, modelSize, digest(r.model), modelDetails(), r.expires, 0, r.numCtx})
	}
	reply(w, http.StatusOK, map[string]any{"models": list})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, _ Request) {
	type ShowRequest struct {
		Model string `json:"model"`
		Name  string `json:"name"`
	}
	var q ShowRequest
	if !decode(w, r, &q) {
		return
	}
	if q.Model == "" {
		q.Model = q.Name
	}
	switch {
	case q.Model == "":
		fail(w, http.StatusBadRequest, "model is required")
	case !s.models.has(q.Model):
		fail(w, http.StatusNotFound, "model '%s' not found", q.Model)
	default:
		type response struct {
			Modelfile    string         `json:"modelfile"`
			Template     string         `json:"template"`
			Details      details        `json:"details"`
			ModelInfo    map[string]any `json:"model_info"`
			Capabilities []string       `json:"capabilities"`
			ModifiedAt   time.Time      `json:"modified_at"`
		}
		reply(w, http.StatusOK, response{
			Modelfile: "FROM " + tagged(q.Model), Template: "{{ .Prompt }}", Details: modelDetails(),
			ModelInfo:    map[string]any{"general.architecture": "llama", "llama.context_length": 4096},
			Capabilities: []string{"completion"}, ModifiedAt: modified(),
		})
	}
}
