package ollamatest

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// keepAlive is how long a model stays loaded: a number of seconds or a Go duration,
// and for ever if negative.
type keepAlive struct{ time.Duration }

// UnmarshalJSON reads either form.
func (k *keepAlive) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case float64:
		k.Duration = time.Duration(v * float64(time.Second))
	case string:
		d, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		k.Duration = d
	default:
		return fmt.Errorf("unsupported type: '%T'", v)
	}
	if k.Duration < 0 {
		k.Duration = math.MaxInt64
	}
	return nil
}
