# make alone lists the targets. Variables: RACE=1, FUZZTIME=10m, PACKAGES=./...

PACKAGES ?= ./...
FUZZTIME ?= 10m
TOOLS := bin/tools

.DEFAULT_GOAL := help
.PHONY: help build demo test tidy lint fmt tools fuzz soak bench bench-subset bench-sync docs cover clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/tapeline, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/tapeline ./cmd/tapeline

demo: build ## Build and run the demo: no network, no configuration
	bin/tapeline demo

test: ## Run all tests, real servers included (RACE=1: with the race detector)
	@scripts/test $(PACKAGES)

tidy: ## Check the rules of the house
	go test ./internal/tidy

fmt: tools ## Format the code
	$(TOOLS)/gofumpt -l -w .

lint: tools ## Check format, vet, staticcheck and golangci-lint
	scripts/lint format vet staticcheck golangci

tools: ## Build the tools of internal/devtools into bin/tools
	@mkdir -p $(TOOLS) && GOBIN=$(CURDIR)/$(TOOLS) CGO_ENABLED=0 go -C internal/devtools install tool

fuzz: ## Fuzz every target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) scripts/fuzz $(PACKAGES)

soak: ## Run the tests with the full acceptance counts (hours)
	@TAPELINE_SOAK=1 scripts/test $(PACKAGES)

bench: build ## Measure against the peers; print one table of ratios
	go run ./bench/run

bench-subset: build ## The part of bench that takes two minutes
	go run ./bench/run -subset

bench-sync: build ## Measure syncs with and without their modules (bench/sync)
	go run ./bench/sync

docs: build ## Generate the pages of docs/ that come from the code
	bin/tapeline docs

cover: ## Statement coverage of the market store: own tests, and with integration
	@scripts/cover

clean: ## Delete what the other targets made
	rm -rf bin bench/out
