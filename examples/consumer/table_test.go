package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"chat-service-backend/internal/awstest"
)

func tableAt(url string) *table {
	return newTable(aws.Config{
		Region:      "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "access-key-for-tests", ""),
	}, "events", func(name string) string { return map[string]string{"AWS_ENDPOINT_URL": url}[name] })
}

// newMotoTable creates the template's table in moto.
func newMotoTable(t *testing.T) *table {
	t.Helper()
	m := tableAt(awstest.Moto(t))
	if err := m.call(t.Context(), "CreateTable", map[string]any{
		"BillingMode":          "PAY_PER_REQUEST",
		"AttributeDefinitions": []any{map[string]string{"AttributeName": "id", "AttributeType": "S"}},
		"KeySchema":            []any{map[string]string{"AttributeName": "id", "KeyType": "HASH"}},
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func wantState(t *testing.T, m *table, id string, want state) {
	t.Helper()
	if got, err := m.claim(t.Context(), id); err != nil || got != want {
		t.Errorf("claim %s: want state %d, got %d, %v", id, want, got, err)
	}
}

func TestTableRemembersThroughMoto(t *testing.T) {
	m := newMotoTable(t)
	wantState(t, m, "w-1", claimed)
	wantState(t, m, "w-1", busy)
	wantState(t, m, "w-2", claimed)
	if err := m.finish(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	wantState(t, m, "w-1", done)
	if err := m.release(t.Context(), "w-2"); err != nil {
		t.Fatal(err)
	}
	wantState(t, m, "w-2", claimed)

	// An event whose consumer died.
	ended := values{"id": text("w-3"), "leaseUntil": number(time.Now().Add(-2 * time.Second)), "expiresAt": number(time.Now().Add(time.Hour))}
	if err := m.call(t.Context(), "PutItem", map[string]any{"Item": ended}); err != nil {
		t.Fatal(err)
	}
	wantState(t, m, "w-3", claimed)
	wantState(t, m, "w-3", busy)

	var wg sync.WaitGroup
	states := make([]state, 10)
	for i := range states {
		wg.Go(func() { states[i], _ = m.claim(t.Context(), "w-4") })
	}
	wg.Wait()
	winners := 0
	for _, s := range states {
		if s == claimed {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("want one of ten to claim the event, got %d", winners)
	}
}

func TestItemsExpireAfterTheirCopiesHave(t *testing.T) {
	var inputs []struct {
		TableName string
		Item      values
	}
	dynamo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		inputs = append(inputs, struct {
			TableName string
			Item      values
		}{})
		if err := json.Unmarshal(body, &inputs[len(inputs)-1]); err != nil {
			t.Error(err)
		}
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/dynamodb/aws4_request") {
			t.Errorf("want a signed call, got %q", r.Header.Get("Authorization"))
		}
		_, _ = io.WriteString(w, "{}")
	}))
	defer dynamo.Close()
	m := tableAt(dynamo.URL)
	wantState(t, m, "w-1", claimed)
	if err := m.finish(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	least := number(time.Now().Add(14 * 24 * time.Hour))["N"]
	for _, in := range inputs {
		if got := in.Item["expiresAt"]["N"]; len(got) != len(least) || got < least {
			t.Errorf("want an item to expire after 14 days, %s, got %s", least, got)
		}
	}
	if inputs[0].Item["leaseUntil"] == nil || inputs[1].Item["leaseUntil"] != nil {
		t.Errorf("want a lease on the claim alone, got %v", inputs)
	}
}

func TestTableThatFailsIsAnError(t *testing.T) {
	for name, answer := range map[string]string{
		"an error": `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`,
		"no JSON":  "<html>",
	} {
		t.Run(name, func(t *testing.T) {
			dynamo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, answer)
			}))
			defer dynamo.Close()
			m := tableAt(dynamo.URL)
			_, err := m.claim(t.Context(), "w-1")
			if err == nil || m.finish(t.Context(), "w-1") == nil || m.release(t.Context(), "w-1") == nil {
				t.Errorf("want errors, got %v", err)
			}
			var failed *tableError
			if name == "an error" && (!errors.As(err, &failed) || failed.code != "ResourceNotFoundException") {
				t.Errorf("want ResourceNotFoundException, got %v", err)
			}
		})
	}
}
