package lambdahttp

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// namespace is where CloudWatch keeps the metrics.
const namespace = "ChatServiceBackend"

// metricsOut is where metrics go: CloudWatch makes them out of log lines in the
// embedded metric format, so they cost no call. They are not log records, since
// a log level must not switch an alarm off.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
var metricsOut io.Writer = os.Stdout

type metric struct {
	name, unit     string
	value          float64
	dimension, key string // besides FunctionName, where set
}

// Count adds one to a metric of the function that the request of ctx belongs
// to.
func Count(ctx context.Context, name string) {
	measure(ctx, metric{name: name, unit: "Count", value: 1})
}

// CountBy is [Count] with a second dimension besides the function's name. Each
// value of it is a metric of its own, and billed as one.
func CountBy(ctx context.Context, name, dimension, value string) {
	measure(ctx, metric{name: name, unit: "Count", value: 1, dimension: dimension, key: value})
}

// Milliseconds records a duration as a value of a metric.
func Milliseconds(ctx context.Context, name string, d time.Duration) {
	measure(ctx, metric{name: name, unit: "Milliseconds", value: float64(d.Microseconds()) / 1000})
}

func measure(ctx context.Context, m metric) {
	if l, ok := ctx.Value(requestLogKey{}).(*requestLog); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.metrics = append(l.metrics, m)
	}
}

type metricDefinition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

type metricDirective struct {
	Namespace  string             `json:"Namespace"`
	Dimensions [][]string         `json:"Dimensions"`
	Metrics    []metricDefinition `json:"Metrics"`
}

// emit writes the metrics of one request as one line.
func (l *requestLog) emit(metrics []metric) {
	line := map[string]any{"FunctionName": lambdacontext.FunctionName}
	if lc, ok := lambdacontext.FromContext(l.ctx); ok {
		line["requestId"] = lc.AwsRequestID
	}
	var directives []metricDirective
	for _, m := range metrics {
		dimensions := [][]string{{"FunctionName"}}
		if m.dimension != "" {
			dimensions = append(dimensions, []string{"FunctionName", m.dimension})
			line[m.dimension] = m.key
		}
		directives = append(directives, metricDirective{namespace, dimensions, []metricDefinition{{m.name, m.unit}}})
		line[m.name] = m.value
	}
	line["_aws"] = map[string]any{"Timestamp": time.Now().UnixMilli(), "CloudWatchMetrics": directives}
	encoded, err := json.Marshal(line)
	if err != nil {
		return
	}
	_, _ = metricsOut.Write(append(encoded, '\n'))
}
