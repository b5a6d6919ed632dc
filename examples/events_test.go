package examples_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"testing"

	"chat-service-backend/internal/awstest"
)

const onBus = `{"source": "stream.chat", "detail-type": "message.new", "detail": {"metadata": {"webhookId": "5bf2"}, "event": {"cid": "messaging:general"}}}`
const inBucket = `{"source": "stream.chat", "detail-type": "message.new", "detail": {"metadata": {"webhookId": "5bf2", "object": {"bucket": "large", "key": "2026/a"}}, "event": null}}`

// failure is what a consumer prints for a message that failed.
var failure = regexp.MustCompile(`(?m)^message m2: .*\n`)

func TestExamplesTakeEventsAndReportTheMessagesThatFailed(t *testing.T) {
	batch, err := json.Marshal(map[string]any{"Records": []map[string]string{{"messageId": "m1", "body": onBus}, {"messageId": "m2", "body": "no JSON"}, {"messageId": "m3", "body": inBucket}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"node", "--input-type=module", "-e", `
import { handler } from './node/index.mjs';
import { handler as consume } from './node/consumer.mjs';
const [bus, bucket, batch] = process.argv.slice(1).map(JSON.parse);
await handler(bus);
await handler(bucket);
console.log(JSON.stringify(await consume(batch)));`},
		{"python3", "-c", `
import json, sys
sys.path.insert(0, 'python')
import consumer, index
bus, bucket, batch = map(json.loads, sys.argv[1:])
index.handler(bus, None)
index.handler(bucket, None)
print(json.dumps(consumer.handler(batch, None), separators=(',', ':')))`},
	} {
		t.Run(command[0], func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(command[0]); err != nil {
				awstest.Missing(t, "%s is not installed", command[0])
			}
			const taken = "message.new in messaging:general (5bf2)\nmessage.new is too large for the bus: s3://large/2026/a\n"
			const want = taken + taken + `{"batchItemFailures":[{"itemIdentifier":"m2"}]}` + "\n"
			c := exec.CommandContext(t.Context(), command[0], append(command[1:], onBus, inBucket, string(batch))...)
			c.Dir = "events"
			out, err := c.Output()
			if got := failure.ReplaceAllString(string(out), ""); err != nil || got != want {
				t.Errorf("want %q, got %v %q", want, err, out)
			}
		})
	}
}
