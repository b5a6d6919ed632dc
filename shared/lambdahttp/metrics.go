package lambdahttp

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strconv"
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
		for i, have := range l.metrics {
			// One line has room for one value of a metric.
			if m.unit == "Count" && have.name == m.name && have.key == m.key {
				l.metrics[i].value += m.value
				return
			}
		}
		l.metrics = append(l.metrics, m)
	}
}

// emit writes the metrics of one request as one line. It is put together by
// hand: encoding/json takes some 36 allocations for it as a map, each time.
func (l *requestLog) emit(metrics []metric) {
	line := append(make([]byte, 0, 512), `{"_aws":{"Timestamp":`...)
	line = strconv.AppendInt(line, time.Now().UnixMilli(), 10)
	line = append(line, `,"CloudWatchMetrics":[`...)
	for i, m := range metrics {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, `{"Namespace":"`+namespace+`","Dimensions":[["FunctionName"]`...)
		if m.dimension != "" {
			line = appendText(append(line, `,["FunctionName",`...), m.dimension)
			line = append(line, ']')
		}
		line = appendText(append(line, `],"Metrics":[{"Name":`...), m.name)
		line = appendText(append(line, `,"Unit":`...), m.unit)
		line = append(line, `}]}`...)
	}
	line = appendText(append(line, `]},"FunctionName":`...), lambdacontext.FunctionName)
	if lc, ok := lambdacontext.FromContext(l.ctx); ok {
		line = appendText(append(line, `,"requestId":`...), lc.AwsRequestID)
	}
	for _, m := range metrics {
		if m.dimension != "" {
			line = append(appendText(append(line, ','), m.dimension), ':')
			line = appendText(line, m.key)
		}
		line = append(appendText(append(line, ','), m.name), ':')
		line = strconv.AppendFloat(line, m.value, 'f', -1, 64)
	}
	_, _ = metricsOut.Write(append(line, "}\n"...))
}

// appendText appends text as a JSON string.
func appendText(line []byte, text string) []byte {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			encoded, _ := json.Marshal(text) // a string always encodes
			return append(line, encoded...)
		}
	}
	line = append(append(line, '"'), text...)
	return append(line, '"')
}
