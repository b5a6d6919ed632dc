package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
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
type table struct {
	client *dynamodb.Client
	name   string
}

// An item is what the table knows of an event, or the values of an expression.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(t time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.Unix(), 10)}
}

// claim puts an item with a lease, if there is none or its lease has run out.
func (t *table) claim(ctx context.Context, id string) (state, error) {
	now := time.Now()
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &t.name,
		Item:                                item{"id": text(id), "leaseUntil": number(now.Add(leaseTime)), "expiresAt": number(now.Add(rememberTime))},
		ConditionExpression:                 aws.String("attribute_not_exists(id) OR leaseUntil < :now"),
		ExpressionAttributeValues:           item{":now": number(now)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var taken *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return claimed, nil
	case !errors.As(err, &taken):
		return claimed, fmt.Errorf("claim an event: %w", err)
	case taken.Item["leaseUntil"] == nil && taken.Item["id"] != nil:
		return done, nil
	default:
		return busy, nil
	}
}

// finish replaces the item by one without a lease, which nobody can claim.
func (t *table) finish(ctx context.Context, id string) error {
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.name, Item: item{"id": text(id), "expiresAt": number(time.Now().Add(rememberTime))},
	})
	if err != nil {
		return fmt.Errorf("remember an event: %w", err)
	}
	return nil
}

func (t *table) release(ctx context.Context, id string) error {
	if _, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: item{"id": text(id)}}); err != nil {
		return fmt.Errorf("release an event: %w", err)
	}
	return nil
}
