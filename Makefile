# Targets need only Go unless their help line names another tool.

# ST1005 wants errors to begin with a lower-case letter, but some begin with a name from the template, as in "Timeout: 1h is not ...".
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks inherit,-ST1005

# For x86: make build GOARCH=amd64
GOARCH ?= arm64
ENV    ?= dev
ifeq ($(origin env),command line)
$(error env=$(env) is not ENV: write ENV=$(env))
endif

# The version that the functions report.
VERSION ?= dev

FUNCTIONS := $(notdir $(wildcard functions/*))
TEMPLATES := template.yaml $(wildcard deploy/*.yaml examples/*/*.yaml examples/*/*/*.yaml)

# sam build runs in a copy of the tree, which includes this file. VERSION reaches it as a variable.
GOBUILD := sh deploy/build/command.sh
export VERSION

.PHONY: help build run test pictures bench lint params deploy connect doctor plan apply pull rotate redrive release clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

# Without inlining, the first run compiles in two thirds of the time; AWS's SDK is most of it. GOGC=400 has the compiler collect
# less garbage: 0.85 of the time for the largest packages, with 0.6 GB instead of 0.4 each.
run: ## run both APIs on this machine; pass flags with ARGS="-addr 127.0.0.1:8080"
	@echo "Compiling the development server; the first time takes a minute."
	@CGO_ENABLED=0 GOGC=400 go build -trimpath -tags=lambda.norpc -gcflags='all=-l -dwarf=false' -ldflags='-s -w' -o build/local$(shell go env GOEXE) ./local
	@exec build/local$(shell go env GOEXE) $(ARGS)

# -count=1: many tests build and run the functions, which go test's cache does not know of. The other flags are those of the
# functions' build, so that a package is compiled once for both, and first (go list -export compiles and does not link), or both
# would do it at the same time. make lint runs vet. With -short the tests that take long and show what changes rarely (awstest.Long) skip.
TESTFLAGS := -trimpath -tags=lambda.norpc$(if $(filter true,$(CI)), -race)

test: ## every package's tests, but those that take long or lack a tool; CI=true runs all, with the race detector
	$(if $(filter true,$(CI)),,CGO_ENABLED=0 )go list -export $(TESTFLAGS) ./... >/dev/null
	$(if $(filter true,$(CI)),,CGO_ENABLED=0 )go test -count=1 -vet=off$(if $(filter true,$(CI)),, -short) -timeout=25m $(TESTFLAGS) ./...

pictures: ## take the README's screenshots of the development server (needs Chromium)
	PICTURES=$(CURDIR)/docs/images go test -count=1 -run TestPage/pictures ./local

bench: ## run every benchmark
	go test -run '^$$' -bench . -benchmem ./...

# cfn-lint also finds resources that depend on each other in a circle.
lint: ## run gofmt, go vet, staticcheck, and cfn-lint if it is installed; CI=true requires it
	@files=$$(gofmt -l $$(find . -name node_modules -prune -o -name '*.go' -print)); test -z "$$files" || { echo "These files are not formatted; run gofmt -w on them:"; echo "$$files"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@if [ "$(CI)" = true ] || command -v cfn-lint >/dev/null; then set -x; cfn-lint $(TEMPLATES); fi

build: $(FUNCTIONS:%=build/%/bootstrap) ## build the functions as build/<function>/bootstrap

build/%/bootstrap: FORCE
	GOOS=linux GOARCH=$(GOARCH) $(GOBUILD) -o $@ ./functions/$*/bootstrap

# The operator's tool for one environment: make doctor ENV=prod ARGS="-json". go run ./ops -h explains it.
# ENV reaches the shell as a variable and not as text, because a pipeline may get it from outside.
export ENV
OPS = @go run ./ops $(1) -env "$$ENV" $(ARGS)

params: ## ask for the values in Parameter Store and write them; ENV=dev, prod or any name
	$(call OPS,params)

deploy: ## build and deploy with the settings in deploy/<env>.env; ENV as above (needs the SAM CLI)
	$(call OPS,deploy)

connect: ## check the stack, apply stream.yaml at Stream, and wait for a test event
	@go run ./ops doctor -env "$$ENV" -before-connect
	$(call OPS,apply)
	@go run ./ops doctor -env "$$ENV"

doctor: ## check the stack and the Stream app, and say how to fix what is wrong
	$(call OPS,doctor)

plan: ## show what make apply would change at Stream
	$(call OPS,plan)

apply: ## change the Stream app to match stream.yaml
	$(call OPS,apply)

pull: ## write stream.yaml from the Stream app
	$(call OPS,pull)

rotate: ## rotate Stream's API secret, step by step
	$(call OPS,rotate)

redrive: ## move events from the fallback queue to the bus
	$(call OPS,redrive)

# The same source gives the same bytes on any machine, because this Go builds it; an installed Go of another version downloads it.
RELEASE_GO := go1.26.8

release: ## fill dist with a release that deploys without building; VERSION=v1.2.3, and RUNBOOK=https://... of docs/runbook.md
	rm -rf dist
	GOTOOLCHAIN=$(RELEASE_GO) go run ./deploy/release -version "$(VERSION)" -runbook "$(RUNBOOK)" -out dist

clean: ## remove what was built
	rm -rf build dist .aws-sam

# sam build calls these in a copy of the tree and wants the binary in ARTIFACTS_DIR; build-ApiKeyFunction builds functions/apikey.
# Always arm64, as template.yaml says, even if GOARCH is set to something else.
build-%Function:
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$(shell echo $* | tr A-Z a-z)/bootstrap
