package ollamatest

import "encoding/json"

// blockEvent tells of one block of a message.
type blockEvent struct {
	Type         string        `json:"type"`
	Index        int           `json:"index"`
	ContentBlock *messageBlock `json:"content_block,omitempty"`
	Delta        *blockDelta   `json:"delta,omitempty"`
}

type blockDelta struct {
	Type        string `json:"type"`
	Text        string `json:"text,omitempty"`
	PartialJSON string `json:"partial_json,omitempty"`
	Thinking    string `json:"thinking,omitempty"`
}

// events are those of one piece of the answer.
func (f *messagesForm) events(c chatResponse) []byte {
	var b []byte
	if !f.begun {
		f.begun = true
		begun := wholeMessage{"msg_" + f.id, "message", "assistant", f.model, []messageBlock{}, "", messageUsage{c.PromptEvalCount, 0}}
		if begun.Usage.InputTokens == 0 {
			begun.Usage.InputTokens = f.estimate
		}
		b = append(b, event("message_start", struct {
			Type    string       `json:"type"`
			Message wholeMessage `json:"message"`
		}{"message_start", begun})...)
	}
	if text := c.Message.Thinking; text != "" {
		b = f.within(b, messageBlock{Type: "thinking", Thinking: new(string)})
		b = f.delta(b, blockDelta{Type: "thinking_delta", Thinking: text})
	}
	if text := c.Message.Content; text != "" {
		b = f.within(b, messageBlock{Type: "text", Text: new(string)})
		b = f.delta(b, blockDelta{Type: "text_delta", Text: text})
	}
	for _, t := range toolCalls(c.Message.ToolCalls) {
		b = f.within(f.closed(b), messageBlock{Type: "tool_use", ID: t.ID, Name: t.Function.Name, Input: json.RawMessage("{}")})
		b = f.closed(f.delta(b, blockDelta{Type: "input_json_delta", PartialJSON: t.Function.Arguments}))
		f.tools++
	}
	if c.Done {
		b = f.end(f.closed(b), c)
	}
	return b
}

// within opens a block, unless one of its type is open already.
func (f *messagesForm) within(b []byte, block messageBlock) []byte {
	if f.block == block.Type {
		return b
	}
	b = f.closed(b)
	f.block = block.Type
	return append(b, event("content_block_start", blockEvent{Type: "content_block_start", Index: f.index, ContentBlock: &block})...)
}

func (f *messagesForm) delta(b []byte, d blockDelta) []byte {
	return append(b, event("content_block_delta", blockEvent{Type: "content_block_delta", Index: f.index, Delta: &d})...)
}

// closed closes the block that is open, if any.
func (f *messagesForm) closed(b []byte) []byte {
	if f.block == "" {
		return b
	}
	b = append(b, event("content_block_stop", blockEvent{Type: "content_block_stop", Index: f.index})...)
	f.block = ""
	f.index++
	return b
}

func (f *messagesForm) end(b []byte, c chatResponse) []byte {
	type delta struct {
		StopReason string `json:"stop_reason,omitempty"`
	}
	b = append(b, event("message_delta", struct {
		Type  string       `json:"type"`
		Delta delta        `json:"delta"`
		Usage messageUsage `json:"usage"`
	}{"message_delta", delta{stopReason(c.DoneReason, f.tools > 0)}, messageUsage{c.PromptEvalCount, c.EvalCount}})...)
	return append(b, event("message_stop", struct {
		Type string `json:"type"`
	}{"message_stop"})...)
}
