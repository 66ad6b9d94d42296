package ollamatest

import "fmt"

// events are those of one piece of the answer.
func (f *responsesForm) events(c chatResponse) []byte {
	var b []byte
	if !f.begun {
		f.begun = true
		b = f.event(b, "response.created", object{"response": sorted(f.response("in_progress", []responseItem{}, nil))})
		b = f.event(b, "response.in_progress", object{"response": sorted(f.response("in_progress", []responseItem{}, nil))})
	}
	if c.Message.Thinking != "" {
		b = f.think(b, c.Message.Thinking)
	}
	calls := toolCalls(c.Message.ToolCalls)
	for _, call := range calls {
		b = f.call(f.thought(b), call)
	}
	if len(f.calls) == 0 && c.Message.Content != "" {
		b = f.say(f.thought(b), c.Message.Content)
	}
	if c.Done {
		b = f.said(f.thought(b))
		b = f.event(b, "response.completed", object{"response": sorted(f.response("completed", f.output(), f.usage(c)))})
	}
	return b
}

// event appends an event to b.
func (f *responsesForm) event(b []byte, name string, v object) []byte {
	v["type"], v["sequence_number"] = name, f.sequence
	f.sequence++
	return append(b, event(name, v)...)
}

func (f *responsesForm) think(b []byte, text string) []byte {
	if f.reasoning == unsent {
		f.reasoning = open
		item := object{"id": f.reasoningID(), "type": "reasoning", "summary": []any{}}
		b = f.event(b, "response.output_item.added", object{"output_index": f.index, "item": item})
	}
	f.thinking += text
	return f.event(b, "response.reasoning_summary_text.delta",
		object{"item_id": f.reasoningID(), "output_index": f.index, "summary_index": 0, "delta": text})
}

// thought ends the thinking, if there is any.
func (f *responsesForm) thought(b []byte) []byte {
	if f.reasoning != open {
		return b
	}
	f.reasoning = done
	b = f.event(b, "response.reasoning_summary_text.done",
		object{"item_id": f.reasoningID(), "output_index": f.index, "summary_index": 0, "text": f.thinking})
	b = f.event(b, "response.output_item.done", object{"output_index": f.index, "item": sorted(f.reasoningItem())})
	f.index++
	return b
}

func (f *responsesForm) say(b []byte, text string) []byte {
	if f.message == unsent {
		f.message = open
		item := object{"id": f.item, "type": "message", "status": "in_progress", "role": "assistant", "content": []any{}}
		b = f.event(b, "response.output_item.added", object{"output_index": f.index, "item": item})
		b = f.event(b, "response.content_part.added", f.part(""))
	}
	f.text += text
	return f.event(b, "response.output_text.delta",
		object{"item_id": f.item, "output_index": f.index, "content_index": 0, "delta": text, "logprobs": []any{}})
}

// said ends the text, if there is any.
func (f *responsesForm) said(b []byte) []byte {
	if f.message != open {
		return b
	}
	f.message = done
	if len(f.calls) > 0 {
		return b
	}
	b = f.event(b, "response.output_text.done",
		object{"item_id": f.item, "output_index": f.index, "content_index": 0, "text": f.text, "logprobs": []any{}})
	b = f.event(b, "response.content_part.done", f.part(f.text))
	return f.event(b, "response.output_item.done", object{"output_index": f.index, "item": sorted(f.messageItem())})
}

// call tells of the call of a tool, in one go.
func (f *responsesForm) call(b []byte, c toolCall) []byte {
	id, at := f.callID(len(f.calls)), f.index+len(f.calls)
	f.calls = append(f.calls, c)
	item := sorted(f.callItem(len(f.calls) - 1))
	begun := object{"id": id, "type": "function_call", "status": "in_progress", "call_id": c.ID, "name": c.Function.Name, "arguments": ""}
	b = f.event(b, "response.output_item.added", object{"output_index": at, "item": begun})
	b = f.event(b, "response.function_call_arguments.delta", object{"item_id": id, "output_index": at, "delta": c.Function.Arguments})
	b = f.event(b, "response.function_call_arguments.done", object{"item_id": id, "output_index": at, "arguments": c.Function.Arguments})
	return f.event(b, "response.output_item.done", object{"output_index": at, "item": item})
}

func (f *responsesForm) part(text string) object {
	return object{"item_id": f.item, "output_index": f.index, "content_index": 0, "part": sorted(newOutputText(text))}
}

func (f *responsesForm) reasoningID() string { return "rs_" + f.id }

func (f *responsesForm) callID(i int) string { return fmt.Sprintf("fc_%s_%d", f.id, i) }

func (f *responsesForm) reasoningItem() responseItem {
	return responseItem{
		ID: f.reasoningID(), Type: "reasoning",
		Summary: []summaryText{{"summary_text", f.thinking}}, EncryptedContent: f.thinking,
	}
}

func (f *responsesForm) messageItem() responseItem {
	return responseItem{ID: f.item, Type: "message", Status: "completed", Role: "assistant", Content: []outputText{newOutputText(f.text)}}
}

func (f *responsesForm) callItem(i int) responseItem {
	c := f.calls[i]
	return responseItem{
		ID: f.callID(i), Type: "function_call", Status: "completed",
		CallID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments,
	}
}

// output is all that the answer has, at its end.
func (f *responsesForm) output() []responseItem {
	var out []responseItem
	if f.reasoning == done {
		out = append(out, f.reasoningItem())
	}
	for i := range f.calls {
		out = append(out, f.callItem(i))
	}
	if len(f.calls) == 0 && f.message == done {
		out = append(out, f.messageItem())
	}
	return out
}
