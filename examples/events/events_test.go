// Package events_test runs the example functions on an event as the bus delivers
// it.
package events_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

const onBus = `{"source": "stream.chat", "detail-type": "message.new", "detail": {"metadata": {"webhookId": "5bf2"}, "event": {"cid": "messaging:general"}}}`
const inBucket = `{"source": "stream.chat", "detail-type": "message.new", "detail": {"metadata": {"webhookId": "5bf2", "object": {"bucket": "large", "key": "2026/a"}}, "event": null}}`

func TestFunctionsTakeWhatIsOnTheBus(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{
		{"node", "--input-type=module", "-e", "import { handler } from './node/index.mjs'; await handler(JSON.parse(process.argv[1]))"},
		{"python3", "-c", "import json, sys; sys.path.insert(0, 'python'); import index; index.handler(json.loads(sys.argv[1]), None)"},
	} {
		awstest.Need(t, command[0], "--version")
		for event, want := range map[string]string{
			onBus:    "message.new in messaging:general (5bf2)\n",
			inBucket: "message.new is too large for the bus: s3://large/2026/a\n",
		} {
			out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], event)...).CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("%s: want %q, got %v %s", command[0], want, err, out)
			}
		}
	}
}

func TestConsumersReportTheMessagesThatFailed(t *testing.T) {
	t.Parallel()
	batch, err := json.Marshal(map[string]any{"Records": []map[string]string{{"messageId": "m1", "body": onBus}, {"messageId": "m2", "body": "no JSON"}, {"messageId": "m3", "body": inBucket}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"node", "--input-type=module", "-e", "import { handler } from './node/consumer.mjs'; console.log(JSON.stringify(await handler(JSON.parse(process.argv[1]))))"},
		{"python3", "-c", "import json, sys; sys.path.insert(0, 'python'); import consumer; print(json.dumps(consumer.handler(json.loads(sys.argv[1]), None), separators=(',', ':')))"},
	} {
		awstest.Need(t, command[0], "--version")
		out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], string(batch))...).Output()
		if err != nil || !strings.HasSuffix(string(out), `{"batchItemFailures":[{"itemIdentifier":"m2"}]}`+"\n") || strings.Count(string(out), "message.new") != 2 {
			t.Errorf("%s: want two events handled and m2 reported, got %v %s", command[0], err, out)
		}
	}
}
