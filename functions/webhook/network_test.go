package webhook

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"chat-service-backend/internal/awstest"
)

// withBus calls f with a function and its bus, in a bubble where time passes only
// while everybody waits: neither a slow machine nor pauses between attempts count.
func withBus(t *testing.T, f func(*testing.T, http.Handler, *awstest.EventBus)) {
	t.Helper()
	h, aws := publisher(t)
	synctest.Test(t, func(t *testing.T) {
		over(h.(*handler).bus, network{answers: aws}, network{answers: aws}, network{answers: aws})
		f(t, h, aws)
	})
}

// A network answers after a time, or never.
type network struct {
	answers http.Handler
	after   time.Duration // negative: never
}

func (n network) Do(r *http.Request) (response *http.Response, err error) {
	if err := r.Context().Err(); err != nil { // like http.Transport
		return nil, err
	}
	var answer <-chan time.Time
	if n.after >= 0 {
		answer = time.After(n.after)
	}
	select {
	case <-answer:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if r.Body == nil { // unlike at a server
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	defer func() {
		if recover() != nil { // as a server's handler ends a connection
			response, err = nil, io.ErrUnexpectedEOF
		}
	}()
	n.answers.ServeHTTP(w, r)
	return w.Result(), nil
}

// over routes the calls to b's services over networks.
func over(b *bus, events, queue, objects network) {
	b.events = eventbridge.New(b.events.Options(), func(o *eventbridge.Options) { o.HTTPClient = events })
	b.queue = sqs.New(b.queue.Options(), func(o *sqs.Options) { o.HTTPClient = queue })
	b.objects = s3.New(b.objects.Options(), func(o *s3.Options) { o.HTTPClient = objects })
}
