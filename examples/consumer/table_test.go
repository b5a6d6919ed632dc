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
	return &table{newAPI(aws.Config{
		Region:      "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "access-key-for-tests", ""),
	}, func(name string) string { return map[string]string{"AWS_ENDPOINT_URL": url}[name] }), "events"}
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

func TestTableAndObjectsOnMoto(t *testing.T) {
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

	// An event that was too large for the bus.
	const region = `<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>`
	const message = `{"type":"message.new"}`
	for _, put := range [][2]string{{"/large", region}, {"/large/2026/11/24/key", message}} {
		path := put[0]
		if status, text, err := m.send(t.Context(), "s3", http.MethodPut, path, nil, []byte(put[1])); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s %v", path, status, text, err)
		}
	}
	if got, err := m.get(t.Context(), "large", "2026/11/24/key"); err != nil || string(got) != message {
		t.Errorf("want the object, got %s, %v", got, err)
	}
	if _, err := m.get(t.Context(), "large", "none"); err == nil {
		t.Error("want an error for an object that does not exist")
	}
}

// answering returns a table whose calls DynamoDB answers with status and answer, and
// the items that they put.
func answering(t *testing.T, status int, answer string) (m *table, items *[]values) {
	items = new([]values)
	dynamo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var input struct{ Item values }
		if err := json.NewDecoder(r.Body).Decode(&input); err != nil {
			t.Error(err)
		}
		*items = append(*items, input.Item)
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/dynamodb/aws4_request") {
			t.Errorf("want a signed call, got %q", r.Header.Get("Authorization"))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(dynamo.Close)
	return tableAt(dynamo.URL), items
}

func TestItemsExpireAfterTheirCopiesHave(t *testing.T) {
	m, items := answering(t, http.StatusOK, "{}")
	wantState(t, m, "w-1", claimed)
	if err := m.finish(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	least := number(time.Now().Add(14 * 24 * time.Hour))["N"]
	for _, item := range *items {
		if got := item["expiresAt"]["N"]; len(got) != len(least) || got < least {
			t.Errorf("want an item to expire after 14 days, %s, got %s", least, got)
		}
	}
	if (*items)[0]["leaseUntil"] == nil || (*items)[1]["leaseUntil"] != nil {
		t.Errorf("want a lease on the claim only, got %v", *items)
	}
}

func TestTableThatFailsIsAnError(t *testing.T) {
	for code, answer := range map[string]string{
		"ResourceNotFoundException": `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`,
		"":                          "<html>",
	} {
		m, _ := answering(t, http.StatusBadRequest, answer)
		_, err := m.claim(t.Context(), "w-1")
		if err == nil || m.finish(t.Context(), "w-1") == nil || m.release(t.Context(), "w-1") == nil {
			t.Errorf("%s: want errors, got %v", answer, err)
		}
		var failed *tableError
		if code != "" && (!errors.As(err, &failed) || failed.code != code) {
			t.Errorf("want %s, got %v", code, err)
		}
	}
}
