package ollamatest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

func (s *Server) openAIEmbeddings(w http.ResponseWriter, r *http.Request, req Request) {
	type EmbedRequest struct {
		Input          any    `json:"input"`
		Model          string `json:"model"`
		Dimensions     int    `json:"dimensions"`
		EncodingFormat string `json:"encoding_format"`
	}
	f := &embedForm{}
	var q EmbedRequest
	if !bind(w, r, f, &q) {
		return
	}
	list, isList := q.Input.([]any)
	switch encoding := strings.ToLower(q.EncodingFormat); {
	case encoding != "" && encoding != "float" && encoding != "base64":
		refuse(w, f, fmt.Errorf("Invalid value for 'encoding_format' = %s. Supported values: ['float', 'base64'].", q.EncodingFormat)) //nolint:staticcheck // Ollama's own words
		return
	case q.Input == nil || isList && len(list) == 0:
		refuse(w, f, errors.New("invalid input"))
		return
	default:
		f.model, f.base64 = q.Model, encoding == "base64"
	}
	if q.Input == "" {
		q.Input = []string{""}
	}
	serveAs(w, r, req, native{Model: q.Model, Input: q.Input}, f, false, s.embed)
}

// embedForm is the form of answers of /v1/embeddings.
type embedForm struct {
	openAIForm
	model  string
	base64 bool
}

func (f *embedForm) answer(native []byte) []byte {
	var e embedResponse
	if json.Unmarshal(native, &e) != nil {
		return nil
	}
	type embedding struct {
		Object    string `json:"object"`
		Embedding any    `json:"embedding"`
		Index     int    `json:"index"`
	}
	type embedUsage struct {
		PromptTokens int `json:"prompt_tokens"`
		TotalTokens  int `json:"total_tokens"`
	}
	type response struct {
		Object string      `json:"object"`
		Data   []embedding `json:"data"`
		Model  string      `json:"model"`
		Usage  embedUsage  `json:"usage"`
	}
	out := response{Object: "list", Model: f.model, Usage: embedUsage{e.PromptEvalCount, e.PromptEvalCount}}
	for i, v := range e.Embeddings {
		var as any = v
		if f.base64 {
			var b bytes.Buffer
			_ = binary.Write(&b, binary.LittleEndian, v) // a buffer takes it all
			as = base64.StdEncoding.EncodeToString(b.Bytes())
		}
		out.Data = append(out.Data, embedding{"embedding", as, i})
	}
	return line(out)
}
