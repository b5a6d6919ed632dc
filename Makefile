# Everything here needs Go alone, but for what its line names.

# ST1005 wants errors to begin with a small letter, but some begin with a name out of the template, as in "Timeout: want ...".
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks inherit,-ST1005

# make build GOARCH=amd64, or GOARCH=amd64 make build, for the other architecture.
GOARCH ?= arm64
ENV    ?= dev

# What the functions say they are.
VERSION ?= dev

FUNCTIONS := $(notdir $(wildcard functions/*))

# The words of the command, which internal/build explains. sam build works in a copy of the tree, which has them, too.
GOBUILD = env $(shell sed "s/=VERSION$$/=$(VERSION)/; s/.*/'&'/" internal/build/command)

.PHONY: help build run test pictures bench lint params deploy connect doctor plan apply pull rotate redrive release clean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

run: ## both APIs on this machine; ARGS="-client-addr 127.0.0.1:8080 ..." is passed on
	go run ./local $(ARGS)

# -count=1: many tests build and run the functions, which go test's cache does not know of.
test: ## every test; CI=true adds the race detector and requires the tools that some tests skip without
	go test -count=1 $(if $(filter true,$(CI)),-race) ./...

pictures: ## the README's pictures of the development server's page (needs Chromium)
	PICTURES=$(CURDIR)/docs/images go test -count=1 -run TestPageInLightAndDark ./local

bench: ## every benchmark
	go test -run '^$$' -bench . -benchmem ./...

lint: ## gofmt, go vet, staticcheck, and cfn-lint where it is installed
	@files=$$(gofmt -l .); test -z "$$files" || { echo "want these files formatted by gofmt:"; echo "$$files"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@if command -v cfn-lint >/dev/null; then set -x; cfn-lint template.yaml; fi

build: $(FUNCTIONS:%=build/%/bootstrap) ## the functions, as build/<function>/bootstrap

build/%/bootstrap: FORCE
	GOOS=linux GOARCH=$(GOARCH) $(GOBUILD) -o $@ ./functions/$*

# The operator's tool on one environment; ARGS="-yes ..." is passed on, and go run ./ops -h explains it.
OPS = @go run ./ops $(1) -env $(ENV) $(ARGS)

params: ## asks for the values in SSM Parameter Store and writes them; ENV=dev, prod or any name
	$(call OPS,params)

deploy: ## builds and deploys; ENV=dev, prod or any name, with the choices in deploy/<env>.env (needs the SAM and AWS CLIs)
	@ENV=$(ENV) ./deploy/deploy.sh

connect: ## examines the stack, applies stream.yaml at Stream, and waits for an event from there
	@go run ./ops doctor -env $(ENV) -before-connect
	$(call OPS,apply)
	@go run ./ops doctor -env $(ENV)

doctor: ## examines the stack and Stream's side from outside, and says what to do
	$(call OPS,doctor)

plan: ## what make apply would change at Stream
	$(call OPS,plan)

apply: ## changes Stream's side to what stream.yaml says
	$(call OPS,apply)

pull: ## writes stream.yaml from what Stream has
	$(call OPS,pull)

rotate: ## leads through a rotation of Stream's API secret
	$(call OPS,rotate)

redrive: ## brings events from the fallback queue to the bus
	$(call OPS,redrive)

# The same bytes anywhere: from the same source, and this Go, which the one that is installed fetches where it is another.
RELEASE_GO := go1.26.8

release: ## fills dist with what deploys without building, VERSION=v1.2.3
	rm -rf dist
	GOTOOLCHAIN=$(RELEASE_GO) go run ./internal/release -version "$(VERSION)" -out dist

clean: ## removes what was built
	rm -rf build dist .aws-sam

# What sam build calls, in a copy of the tree, with the folder for the binary in ARTIFACTS_DIR: build-ApiKeyFunction makes
# functions/apikey. Always arm64, as template.yaml says, whatever machine and environment this runs in.
build-%Function:
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$(shell echo $* | tr A-Z a-z)
