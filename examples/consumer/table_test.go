package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"chat-service-backend/internal/awstest"
)

func TestConsumerOnAWS(t *testing.T) {
	config := aws.Config{
		Region:       "eu-central-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "access-key-for-tests", ""),
		BaseEndpoint: aws.String(awstest.Moto(t)),
		HTTPClient:   new(oneByOne),
	}
	for name, test := range map[string]func(*testing.T, aws.Config){
		"one consumer claims an event":     testClaims,
		"items expire after their copies":  testExpiry,
		"a table that fails is an error":   testFailure,
		"objects are read from the bucket": testObjects,
	} {
		t.Run(name, func(t *testing.T) { test(t, config) })
	}
}

// oneByOne sends one request at a time: DynamoDB checks a condition and writes at once, and
// moto, whose requests run in parallel, first one and then the other.
type oneByOne struct{ sync.Mutex }

func (o *oneByOne) Do(r *http.Request) (*http.Response, error) {
	o.Lock()
	defer o.Unlock()
	return http.DefaultClient.Do(r)
}

// newTable creates the template's table in moto.
func newTable(t *testing.T, config aws.Config, name string) *table {
	t.Helper()
	m := &table{dynamodb.NewFromConfig(config), name}
	if _, err := m.client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
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

func testClaims(t *testing.T, config aws.Config) {
	m := newTable(t, config, "claims")
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
	ended := item{"id": text("w-3"), "leaseUntil": number(time.Now().Add(-2 * time.Second)), "expiresAt": number(time.Now().Add(time.Hour))}
	if _, err := m.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &m.name, Item: ended}); err != nil {
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

func testExpiry(t *testing.T, config aws.Config) {
	m := newTable(t, config, "expiry")
	read := func() item {
		out, err := m.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &m.name, Key: item{"id": text("w-1")}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Item
	}
	wantState(t, m, "w-1", claimed)
	held := read()
	if err := m.finish(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	finished := read()
	least := number(time.Now().Add(14 * 24 * time.Hour)).(*types.AttributeValueMemberN).Value
	for _, i := range []item{held, finished} {
		if at, ok := i["expiresAt"].(*types.AttributeValueMemberN); !ok || len(at.Value) != len(least) || at.Value < least {
			t.Errorf("want an item to expire after 14 days, %s, got %v", least, i)
		}
	}
	if held["leaseUntil"] == nil || finished["leaseUntil"] != nil {
		t.Errorf("want a lease on the claim only, got %v, %v", held, finished)
	}
}

func testFailure(t *testing.T, config aws.Config) {
	m := &table{dynamodb.NewFromConfig(config), "none"}
	_, err := m.claim(t.Context(), "w-1")
	if err == nil || m.finish(t.Context(), "w-1") == nil || m.release(t.Context(), "w-1") == nil {
		t.Errorf("want errors, got %v", err)
	}
}

func testObjects(t *testing.T, config aws.Config) {
	const content = `{"type":"message.new"}`
	b := bucket{s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })}
	name, key := "large", "2026/11/24/key"
	if _, err := b.client.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: "eu-central-1"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.get(t.Context(), name, key); err != nil || string(got) != content {
		t.Errorf("want the object, got %s, %v", got, err)
	}
	if _, err := b.get(t.Context(), name, "none"); err == nil {
		t.Error("want an error for an object that does not exist")
	}
}
