package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// queued returns a message as the webhook function leaves it in the fallback queue.
func queued(bus, source string, number int) string {
	text, _ := json.Marshal(map[string]string{
		"EventBusName": bus, "Source": source, "DetailType": "message.new",
		"Detail": fmt.Sprintf(`{"metadata":{},"event":{"number":%d,"n":9007199254740993,"text":"Grüße"}}`, number),
	})
	return string(text)
}

func testRedrive(t *testing.T, w *world, d *deployment) {
	queue := d.outputs["FallbackQueueUrl"]
	enqueue := func(messages ...string) {
		t.Helper()
		for _, m := range messages {
			if _, err := sqs.NewFromConfig(w.aws).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &m}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var published atomic.Int32
	onTarget := func(name string, answered func(http.ResponseWriter) bool) {
		published.Store(0)
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			if r.Header.Get("X-Amz-Target") == "AWSEvents.PutEvents" {
				published.Add(int32(strings.Count(body, `\"n\":9007199254740993,\"text\":\"Grüße\"`)))
			}
			return answered != nil && r.Header.Get("X-Amz-Target") == name && answered(w)
		}
	}

	for i := range 12 {
		enqueue(queued(bus, []string{"stream.chat", "stream.video"}[i%2], i))
	}
	onTarget("", nil)
	// At least once is what SQS promises: moto sometimes hands a message to two of the calls at once.
	d.run("", "redrive").want(t, 0, " events published to "+bus+", 0 left in the queue")
	if published.Load() < 12 {
		t.Errorf("want each event published unchanged, got %d", published.Load())
	}
	d.run("", "redrive", "-json").want(t, 0, `"published": 0`)

	// An event that the bus does not take stays.
	enqueue(queued(bus, "stream.chat", 1), queued(bus, "stream.chat", 2))
	for code, fail := range map[string]func(http.ResponseWriter) bool{
		"AccessDeniedException": func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") },
		"InternalFailure": func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"InternalFailure"}]}`)
			return true
		},
	} {
		onTarget("AWSEvents.PutEvents", fail)
		d.run("", "redrive").want(t, 1, "0 events published to "+bus+", 2 left in the queue", code)
	}
	onTarget("", nil)
	d.run("", "redrive").want(t, 0, " events published to "+bus+", 0 left in the queue")
	if published.Load() < 2 {
		t.Errorf("want both published, got %d", published.Load())
	}

	// Nor does a message that cannot be deleted count as gone.
	enqueue(queued(bus, "stream.chat", 1))
	onTarget("AmazonSQS.DeleteMessageBatch", func(w http.ResponseWriter) bool { return refuse(w, "AccessDenied") })
	d.run("", "redrive").want(t, 1, "the event is published, but its message cannot be deleted, so that it may arrive again: AccessDenied", "1 left in the queue")
	onTarget("", nil)
	d.run("", "redrive").want(t, 0, "0 left in the queue")

	// Messages that the webhook function has not written stay, and are visible again at once.
	enqueue("no json", "null", "[]", "{}", `{"Detail":1}`, `{"Source":"stream.chat","DetailType":"message.new","Detail":"{}"}`,
		queued("default", "stream.chat", 1), queued(bus, "aws.iam", 1), queued(bus, "stream.chat", 1))
	d.run("", "redrive").want(t, 1, "1 events published to "+bus+", 8 left in the queue", `of source "stream.chat" for the bus "default"`, `of source "aws.iam"`)
	d.run("", "redrive").want(t, 1, "0 events published to "+bus+", 8 left in the queue")
}

// A backlog plays the fallback queue with many messages, and the bus.
type backlog struct {
	*deployment
	delay time.Duration // of each call

	mu                 sync.Mutex
	messages           int   // in all
	next               int   // message that nobody has received yet
	again              []int // visible again
	published, deleted map[int]bool
	calls              int
	onPut              func(w http.ResponseWriter, numbers []int) bool
}

func newBacklog(t testing.TB, messages int) *backlog {
	q := &backlog{deployment: deploy(t, nil), messages: messages, published: map[int]bool{}, deleted: map[int]bool{}}
	q.onAWS = q.serve
	return q
}

var number = regexp.MustCompile(`\\"number\\":(\d+)`)

func (q *backlog) serve(w http.ResponseWriter, r *http.Request, body string) bool {
	target := r.Header.Get("X-Amz-Target")
	if !strings.HasPrefix(target, "AmazonSQS.") && target != "AWSEvents.PutEvents" {
		return false
	}
	time.Sleep(q.delay)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls++
	var in struct {
		MaxNumberOfMessages int
		ReceiptHandle       string
		Entries             []struct{ ID, ReceiptHandle string }
	}
	_ = json.Unmarshal([]byte(body), &in)
	if in.ReceiptHandle != "" {
		in.Entries = append(in.Entries, struct{ ID, ReceiptHandle string }{"", in.ReceiptHandle})
	}
	switch strings.TrimSuffix(target, "Batch") {
	case "AmazonSQS.GetQueueAttributes":
		visible := q.messages - q.next + len(q.again)
		fmt.Fprintf(w, `{"Attributes":{"ApproximateNumberOfMessages":"%d","ApproximateNumberOfMessagesNotVisible":"%d"}}`, visible, q.messages-len(q.deleted)-visible)
	case "AmazonSQS.ReceiveMessage":
		all := []map[string]string{}
		for len(all) < in.MaxNumberOfMessages && (len(q.again) > 0 || q.next < q.messages) {
			i := q.next
			if len(q.again) > 0 {
				i, q.again = q.again[0], q.again[1:]
			} else {
				q.next++
			}
			all = append(all, map[string]string{"MessageId": strconv.Itoa(i), "ReceiptHandle": strconv.Itoa(i), "Body": queued(bus, "stream.chat", i)})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Messages": all})
	case "AWSEvents.PutEvents":
		var numbers []int
		for _, m := range number.FindAllStringSubmatch(body, -1) {
			n, _ := strconv.Atoi(m[1])
			numbers = append(numbers, n)
		}
		if q.onPut != nil && q.onPut(w, numbers) {
			return true
		}
		for _, n := range numbers {
			q.published[n] = true
		}
		fmt.Fprintf(w, `{"FailedEntryCount":0,"Entries":[%s{"EventId":"1"}]}`, strings.Repeat(`{"EventId":"1"},`, len(numbers)-1))
	case "AmazonSQS.DeleteMessage":
		for _, e := range in.Entries {
			n, _ := strconv.Atoi(e.ReceiptHandle)
			if q.deleted[n] = true; !q.published[n] {
				q.t.Errorf("event %d is lost", n)
			}
		}
		fmt.Fprint(w, `{}`)
	case "AmazonSQS.ChangeMessageVisibility":
		for _, e := range in.Entries {
			n, _ := strconv.Atoi(e.ReceiptHandle)
			q.again = append(q.again, n)
		}
		fmt.Fprint(w, `{}`)
	}
	return true
}

func TestRedriveMovesManyEventsInFewCalls(t *testing.T) {
	t.Parallel()
	q := newBacklog(t, 1005)
	q.run("", "redrive").want(t, 0, "1005 events are waiting", "1005 events published to "+bus+", 0 left in the queue")
	if len(q.published) != 1005 || len(q.deleted) != 1005 || q.calls > 350 {
		t.Errorf("want 1005 events moved in batches, got %d published, %d deleted with %d calls", len(q.published), len(q.deleted), q.calls)
	}
}

func TestRedriveTriesAgainWhileTheBusIsBusyAndLeavesWhatItRefuses(t *testing.T) {
	t.Parallel()
	q := newBacklog(t, 20)
	busy := map[int]bool{}
	q.onPut = func(w http.ResponseWriter, numbers []int) bool {
		if slices.Contains(numbers, 7) && len(numbers) > 1 { // an event that makes the whole call wrong
			return refuse(w, "ValidationException")
		}
		var results []string
		failed := 0
		for _, n := range numbers {
			code := ""
			if n == 7 {
				return refuse(w, "ValidationException")
			} else if !busy[n] && n%2 == 0 {
				busy[n], code = true, "ThrottlingException"
			} else if n == 3 {
				code = "NotAuthorizedForDestination"
			} else {
				q.published[n] = true
			}
			if code != "" {
				failed++
			}
			results = append(results, fmt.Sprintf(`{"ErrorCode":%q}`, code))
		}
		fmt.Fprintf(w, `{"FailedEntryCount":%d,"Entries":[%s]}`, failed, strings.ReplaceAll(strings.Join(results, ","), `"ErrorCode":""`, `"EventId":"1"`))
		return true
	}
	q.run("", "redrive").want(t, 1, "18 events published to "+bus+", 2 left in the queue", "message 3: the bus refused it: NotAuthorizedForDestination", "message 7: the bus does not take it: ValidationException")
	if len(q.again) != 2 {
		t.Errorf("want both visible again, got %v", q.again)
	}
}

func TestCtrlCEndsARedriveWithTheRightNumberLeft(t *testing.T) {
	t.Parallel()
	q := newBacklog(t, 19113)
	ctx, ctrlC := context.WithCancelCause(t.Context())
	q.onPut = func(http.ResponseWriter, []int) bool {
		if len(q.published) > 500 {
			ctrlC(errCtrlC)
		}
		return false
	}
	r := q.tool.run(ctx, "", "redrive", "-stack", "chat")
	r.want(t, 1, fmt.Sprintf("%d events published to %s, %d left in the queue", len(q.deleted), bus, 19113-len(q.deleted)), "interrupted: run redrive again to go on")
	r.hides(t, "canceled", "operation error")
}

func TestTwoRedrivesLoseNothing(t *testing.T) {
	t.Parallel()
	q := newBacklog(t, 505)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { q.run("", "redrive").want(t, 0, " events published to "+bus, ", 0 left in the queue") })
	}
	both.Wait()
	if len(q.published) != 505 || len(q.deleted) != 505 {
		t.Errorf("want 505 events moved, got %d published, %d deleted", len(q.published), len(q.deleted))
	}
}

func TestRedriveNamesWhatAnotherHasInHand(t *testing.T) {
	t.Parallel()
	q := newBacklog(t, 20)
	q.next = 4 // received by a redrive that was killed
	q.run("", "redrive").want(t, 0, "16 events published to "+bus, "4 more are in the hands of another redrive, or of one that was killed: run redrive again in two minutes")
}

func TestRedriveEndsThoughAMessageComesBack(t *testing.T) {
	t.Parallel()
	q := newBacklog(t, 1)
	q.onPut = func(w http.ResponseWriter, _ []int) bool {
		q.again = []int{0}
		return refuse(w, "ValidationException")
	}
	q.run("", "redrive").want(t, 1, "1 left in the queue")
}

// BenchmarkRedrive moves events with calls of 15 ms, by the program OPS_BINARY if that
// is set.
func BenchmarkRedrive(b *testing.B) {
	const events = 300
	for b.Loop() {
		q := newBacklog(b, events)
		q.delay = 15 * time.Millisecond
		aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer, _ := q.Do(r)
			for name := range answer.Header {
				w.Header().Set(name, answer.Header.Get(name))
			}
			w.WriteHeader(answer.StatusCode)
			_, _ = io.Copy(w, answer.Body)
		}))
		cmd := process(b, []string{"AWS_ENDPOINT_URL=" + aws.URL, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}, "redrive", "-stack", "chat")
		cmd.Path = cmp.Or(os.Getenv("OPS_BINARY"), cmd.Path)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil || len(q.deleted) != events {
			b.Fatalf("want %d events moved, got %d, %v\n%s", events, len(q.deleted), err, out)
		}
		b.ReportMetric(events/time.Since(began).Seconds(), "events/s")
		aws.Close()
	}
}

func TestRedriveSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	delete(d.outputs, "FallbackQueueUrl")
	d.run("", "redrive").want(t, 1, "stack chat has no fallback queue")
	d.missing = true
	d.tool.run(t.Context(), "", "redrive", "-env", "nowhere").want(t, 1, "there is no stack chat-service-nowhere in "+region)
}
