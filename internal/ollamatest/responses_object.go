package ollamatest

import "encoding/json"

type responseItem struct {
	ID               string        `json:"id"`
	Type             string        `json:"type"`
	Status           string        `json:"status,omitempty"`
	Role             string        `json:"role,omitempty"`
	Content          []outputText  `json:"content,omitempty"`
	CallID           string        `json:"call_id,omitempty"`
	Name             string        `json:"name,omitempty"`
	Arguments        string        `json:"arguments,omitempty"`
	Summary          []summaryText `json:"summary,omitempty"`
	EncryptedContent string        `json:"encrypted_content,omitempty"`
}

type outputText struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	Annotations []any  `json:"annotations"`
	Logprobs    []any  `json:"logprobs"`
}

func newOutputText(text string) outputText {
	return outputText{"output_text", text, []any{}, []any{}}
}

type summaryText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type responsesUsage struct {
	InputTokens         int    `json:"input_tokens"`
	OutputTokens        int    `json:"output_tokens"`
	TotalTokens         int    `json:"total_tokens"`
	InputTokensDetails  object `json:"input_tokens_details"`
	OutputTokensDetails object `json:"output_tokens_details"`
}

// response is the whole of an answer, as far as it is there.
type response struct {
	ID                 string          `json:"id"`
	Object             string          `json:"object"`
	CreatedAt          int64           `json:"created_at"`
	CompletedAt        *int64          `json:"completed_at"`
	Status             string          `json:"status"`
	IncompleteDetails  any             `json:"incomplete_details"`
	Model              string          `json:"model"`
	PreviousResponseID *string         `json:"previous_response_id"`
	Instructions       *string         `json:"instructions"`
	Output             []responseItem  `json:"output"`
	Error              any             `json:"error"`
	Tools              []any           `json:"tools"`
	ToolChoice         string          `json:"tool_choice"`
	Truncation         string          `json:"truncation"`
	ParallelToolCalls  bool            `json:"parallel_tool_calls"`
	Text               object          `json:"text"`
	TopP               float64         `json:"top_p"`
	PresencePenalty    float64         `json:"presence_penalty"`
	FrequencyPenalty   float64         `json:"frequency_penalty"`
	TopLogprobs        int             `json:"top_logprobs"`
	Temperature        float64         `json:"temperature"`
	Reasoning          any             `json:"reasoning"`
	Usage              *responsesUsage `json:"usage"`
	MaxOutputTokens    *int            `json:"max_output_tokens"`
	MaxToolCalls       *int            `json:"max_tool_calls"`
	Store              bool            `json:"store"`
	Background         bool            `json:"background"`
	ServiceTier        string          `json:"service_tier"`
	Metadata           object          `json:"metadata"`
	SafetyIdentifier   *string         `json:"safety_identifier"`
	PromptCacheKey     *string         `json:"prompt_cache_key"`
}

func (f *responsesForm) response(status string, output []responseItem, usage *responsesUsage) response {
	r := response{
		ID: f.id, Object: "response", CreatedAt: f.now, Status: status, Model: f.model, Instructions: f.instructions,
		Output: output, Tools: []any{}, ToolChoice: "auto", Truncation: "disabled", ParallelToolCalls: true,
		Text: object{"format": object{"type": "text"}}, TopP: f.topP, Temperature: f.temperature,
		Usage: usage, MaxOutputTokens: f.maxTokens, ServiceTier: "default", Metadata: object{},
	}
	if status == "completed" {
		r.CompletedAt = &f.now
	}
	return r
}

func (f *responsesForm) usage(c chatResponse) *responsesUsage {
	return &responsesUsage{
		c.PromptEvalCount, c.EvalCount, c.PromptEvalCount + c.EvalCount,
		object{"cached_tokens": 0},
		object{"reasoning_tokens": 0},
	}
}

// object is a JSON object whose members come in the order of their names, as Ollama
// has them in the events of these streams.
type object map[string]any

// sorted is a value as such an object.
func sorted(v any) object {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		panic(err)
	}
	return o
}
