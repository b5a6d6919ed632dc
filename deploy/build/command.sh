# Builds a function's command: sh command.sh -o FILE PACKAGE, for the GOOS, GOARCH and VERSION of the environment. The Makefile
# and package build run it.
#
# It sets everything that affects the bytes, mostly to Go's default, so that GOFLAGS and `go env -w` cannot. They still decide
# the rest: proxy, cache, number of processors. GOEXPERIMENT has no value that means "the default", so it turns off an
# experiment that is off anyway.
#
# Binaries leave out the RPC of Lambda's retired runtime (2 MB), debug data, and the build id, which differs between machines.
exec env CGO_ENABLED=0 GOARM64=v8.0 GOAMD64=v1 GOEXPERIMENT=nocgocheck2 GOFIPS140=off GOWORK=off \
	go build -trimpath -buildvcs=false -buildmode=default -race=false -msan=false -asan=false -cover=false -pgo=auto \
	-gcflags= -asmflags= -tags=lambda.norpc \
	-ldflags="-s -w -buildid= -X=chat-service-backend/shared/lambdahttp.version=${VERSION:-dev}" "$@"
