// Package httpjson writes responses and errors as JSON.
package httpjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// Write answers with status and v as JSON. It returns an error, and sends nothing, if v
// cannot be encoded.
func Write(w http.ResponseWriter, status int, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the caller is gone.
	_, _ = w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
	return nil
}
