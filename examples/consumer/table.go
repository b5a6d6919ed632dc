package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// leaseTime is how long a claim lasts. It exceeds the function's timeout, so a
	// claim that has run out belongs to a process that died.
	leaseTime = 60 * time.Second

	// rememberTime is how long an event is remembered. It must exceed the time for
	// which a copy can be delayed: the fallback queue keeps one for up to 14 days.
	rememberTime = 15 * 24 * time.Hour
)

// A table is a memory in DynamoDB, with one item per event, which DynamoDB deletes
// when it expires.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
type table struct {
	*api
	name string
}

// values are the attributes of an item or an expression.
type values map[string]map[string]string

func text(s string) map[string]string { return map[string]string{"S": s} }

func number(t time.Time) map[string]string {
	return map[string]string{"N": strconv.FormatInt(t.Unix(), 10)}
}

// claim puts an item with a lease, if there is none or its lease has run out.
func (t *table) claim(ctx context.Context, id string) (state, error) {
	now := time.Now()
	err := t.call(ctx, "PutItem", map[string]any{
		"Item":                                values{"id": text(id), "leaseUntil": number(now.Add(leaseTime)), "expiresAt": number(now.Add(rememberTime))},
		"ConditionExpression":                 "attribute_not_exists(id) OR leaseUntil < :now",
		"ExpressionAttributeValues":           values{":now": number(now)},
		"ReturnValuesOnConditionCheckFailure": "ALL_OLD",
	})
	var failed *tableError
	switch {
	case err == nil:
		return claimed, nil
	case !errors.As(err, &failed) || failed.code != "ConditionalCheckFailedException":
		return claimed, fmt.Errorf("claim an event: %w", err)
	case failed.item["leaseUntil"] == nil && failed.item["id"] != nil:
		return done, nil
	default:
		return busy, nil
	}
}

// finish replaces the item by one without a lease, which nobody can claim.
func (t *table) finish(ctx context.Context, id string) error {
	err := t.call(ctx, "PutItem", map[string]any{
		"Item": values{"id": text(id), "expiresAt": number(time.Now().Add(rememberTime))},
	})
	if err != nil {
		return fmt.Errorf("remember an event: %w", err)
	}
	return nil
}

func (t *table) release(ctx context.Context, id string) error {
	if err := t.call(ctx, "DeleteItem", map[string]any{"Key": values{"id": text(id)}}); err != nil {
		return fmt.Errorf("release an event: %w", err)
	}
	return nil
}

// A tableError is an error that DynamoDB returned.
type tableError struct {
	code string
	item values // the existing item, if a condition failed
}

func (e *tableError) Error() string { return "DynamoDB: " + e.code }

func (t *table) call(ctx context.Context, action string, input map[string]any) error {
	input["TableName"] = t.name
	body, err := json.Marshal(input)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"DynamoDB_20120810." + action}}
	status, answer, err := t.send(ctx, "dynamodb", http.MethodPost, "/", header, body)
	if err != nil || status == http.StatusOK {
		return err
	}
	var failed struct {
		Type string `json:"__type"`
		Item values
	}
	if err := json.Unmarshal(answer, &failed); err != nil {
		return fmt.Errorf("want status 200, got %d", status)
	}
	return &tableError{failed.Type[strings.LastIndexByte(failed.Type, '#')+1:], failed.Item}
}
