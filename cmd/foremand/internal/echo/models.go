package echo

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// listed is a model as /api/tags has it.
type listed struct {
	Name       string    `json:"name"`
	Model      string    `json:"model"`
	ModifiedAt time.Time `json:"modified_at"`
	Size       int64     `json:"size"`
	Digest     string    `json:"digest"`
	Details    details   `json:"details"`
}

type details struct {
	Format   string   `json:"format"`
	Family   string   `json:"family"`
	Families []string `json:"families"`
}

func itself() listed {
	return listed{
		Name: Model, Model: Model, ModifiedAt: time.Unix(0, 0).UTC(), Digest: strings.Repeat("0", 64),
		Details: details{Format: "none", Family: Model, Families: []string{Model}},
	}
}

// v1Model is a model as /v1/models has it.
type v1Model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func itselfV1() v1Model { return v1Model{ID: Model, Object: "model", OwnedBy: "foremand"} }

// shown is a model as /api/show has it.
type shown struct {
	Template     string         `json:"template"`
	Details      details        `json:"details"`
	ModelInfo    map[string]any `json:"model_info"`
	Capabilities []string       `json:"capabilities"`
	ModifiedAt   time.Time      `json:"modified_at"`
}

// show answers /api/show.
func show(r *http.Request, body []byte) *http.Response {
	var q struct{ Model, Name string } // which older clients say
	if err := json.Unmarshal(body, &q); err != nil {
		return refuse(r, http.StatusBadRequest, "%s: %v", Model, err)
	}
	if q.Model == "" {
		q.Model = q.Name
	}
	if !Is(q.Model) {
		return unknown(r, q.Model)
	}
	m := itself()
	return answer(r, http.StatusOK, shown{
		Template: "{{ .Prompt }}", Details: m.Details, ModelInfo: map[string]any{"general.architecture": Model},
		Capabilities: []string{"completion"}, ModifiedAt: m.ModifiedAt,
	})
}
