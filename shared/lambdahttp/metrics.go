package lambdahttp

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// namespace is the metrics' CloudWatch namespace.
const namespace = "ChatServiceBackend"

// metricsOut receives the metrics. CloudWatch reads them from log lines in the
// embedded metric format, so they cost no call. They are not log records, because a
// log level must not switch off an alarm.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
var metricsOut io.Writer = os.Stdout

type metric struct {
	name, unit     string
	value          float64
	dimension, key string // besides FunctionName, if set
}

// Count adds one to a metric of the function, for the request of ctx.
func Count(ctx context.Context, name string) {
	measure(ctx, metric{name: name, unit: "Count", value: 1})
}

// CountBy is [Count] with a dimension besides the function's name. Each of its values
// is billed as a metric.
func CountBy(ctx context.Context, name, dimension, value string) {
	measure(ctx, metric{name: name, unit: "Count", value: 1, dimension: dimension, key: value})
}

// Milliseconds records a duration in a metric.
func Milliseconds(ctx context.Context, name string, d time.Duration) {
	measure(ctx, metric{name: name, unit: "Milliseconds", value: milliseconds(d)})
}

func measure(ctx context.Context, m metric) {
	change(ctx, func(l *logLine) {
		for i, have := range l.metrics {
			// A line holds one value of a metric.
			if m.unit == "Count" && have.name == m.name && have.key == m.key {
				l.metrics[i].value += m.value
				return
			}
		}
		l.metrics = append(l.metrics, m)
	})
}

// metadata says which members of a line are metrics.
type metadata struct {
	Timestamp         int64 // milliseconds since 1970
	CloudWatchMetrics []directive
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

type definition struct{ Name, Unit string }

// emit writes the line's metrics as one line. l.mu is held.
func (l *logLine) emit() {
	about := metadata{Timestamp: time.Now().UnixMilli()}
	name, out := lambdacontext.FunctionName, metricsOut
	if host, ok := l.ctx.Value(hostKey{}).(*Host); ok {
		name, out = host.name, host.out
	}
	line := map[string]any{"FunctionName": name, "version": version}
	if lc, ok := lambdacontext.FromContext(l.ctx); ok {
		line["requestId"] = lc.AwsRequestID
	}
	if trace := TraceHeader(l.ctx); trace != "" {
		line["traceId"] = trace
	}
	for _, m := range l.metrics {
		dimensions := [][]string{{"FunctionName"}}
		if m.dimension != "" {
			dimensions = append(dimensions, []string{"FunctionName", m.dimension})
			line[m.dimension] = m.key
		}
		about.CloudWatchMetrics = append(about.CloudWatchMetrics, directive{namespace, dimensions, []definition{{m.name, m.unit}}})
		line[m.name] = m.value
	}
	line["_aws"] = about
	// Strings and finite numbers always encode.
	encoded, _ := json.Marshal(line)
	_, _ = out.Write(append(encoded, '\n'))
}
