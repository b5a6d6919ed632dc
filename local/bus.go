package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// bus stands in for EventBridge and for what keeps events that it does not
// take, SQS and S3: one address for all three, since they call by different
// ways. It takes everything, and shows events as they pass.
type bus struct{ log *lineLog }

func (b *bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody))
	if err != nil {
		return
	}
	target := r.Header.Get("X-Amz-Target")
	switch {
	case target == "AWSEvents.PutEvents":
		b.putEvents(w, body)
	case target == "AmazonSQS.SendMessage":
		b.log.printf("events: one went into the fallback queue, %d bytes", len(body))
		// Without the digests that SQS sends, its client has nothing to compare.
		answerAWS(w, http.StatusOK, map[string]any{"MessageId": newUUID()})
	case r.Method == http.MethodPut && target == "":
		b.log.printf("events: %d bytes kept in %s", len(body), r.URL.Path)
		w.WriteHeader(http.StatusOK)
	default:
		answerAWS(w, http.StatusBadRequest, map[string]any{
			"__type": "UnknownOperationException", "message": "the stand-in knows PutEvents, SendMessage and PutObject",
		})
	}
}

func (b *bus) putEvents(w http.ResponseWriter, body []byte) {
	var in struct {
		Entries []struct{ DetailType, Detail string }
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Entries) < 1 || len(in.Entries) > 10 {
		answerAWS(w, http.StatusBadRequest, map[string]any{"__type": "ValidationException", "message": "want 1 to 10 entries"})
		return
	}
	var entries []map[string]string
	failed := 0
	for _, entry := range in.Entries {
		var detail struct {
			Metadata struct {
				WebhookID string `json:"webhookId"`
				Attempt   int    `json:"attempt"`
			} `json:"metadata"`
		}
		if json.Unmarshal([]byte(entry.Detail), &detail) != nil {
			failed++
			entries = append(entries, map[string]string{"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."})
			continue
		}
		line := fmt.Sprintf("event %q, %d bytes", entry.DetailType, len(entry.Detail))
		if id := detail.Metadata.WebhookID; id != "" {
			line += fmt.Sprintf(", webhook %q, attempt %d", id, detail.Metadata.Attempt)
		}
		b.log.printf("%s", line)
		entries = append(entries, map[string]string{"EventId": newUUID()})
	}
	answerAWS(w, http.StatusOK, map[string]any{"FailedEntryCount": failed, "Entries": entries})
}

// answerAWS writes an answer of AWS's JSON protocols.
func answerAWS(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// missingBusEndpoints are the variables that say where the bus and its helpers
// are, as far as the developer has not set them: nothing may go to AWS itself
// because one was forgotten.
func missingBusEndpoints(getenv func(string) string) (names []string) {
	if getenv("AWS_ENDPOINT_URL") != "" {
		return nil
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3"} {
		if getenv(name) == "" {
			names = append(names, name)
		}
	}
	return names
}
