# lvx: `make` builds ./lvx, `make demo` shows it (as root), `make test` tests it.
# Tests that need root say so and are skipped without it.
GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.7.0
.PHONY: all lvx toolchain generate check test integration test-vm test-ipvs soak demo bench bench-short profile clean

all: lvx

lvx: toolchain
	$(GO) build -o lvx ./cmd/lvx

toolchain:
	@.ci/go $(GO)

generate: toolchain
	$(GO) generate ./...

check: toolchain
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	.ci/regenerate $(GO)
	$(GO) test -count=1 ./internal/arch

test: lvx
	.ci/packages
	@failed=0; $(GO) run ./internal/verdicts -timeout 10m $$($(GO) list ./... | grep -v /internal/integration) || failed=1; \
	$(MAKE) --no-print-directory integration || failed=1; exit $$failed

integration: lvx
	.ci/packages
	$(GO) run ./internal/verdicts -timeout 20m -p 1 -count=1 ./internal/integration/...

# On the drivers of real NICs, in virtual machines: all from Debian packages in
# a cache folder. VM_SHORT=1 for the short form.
test-vm: toolchain
	LVX_VM=1 $(GO) test -v -count=1 -timeout 60m ./internal/vm

# The same scenarios to Debian's kernel IPVS, in a virtual machine, and to lvx:
# all to its fast path, a part to the running program. Beside it lvx is built with
# one mistake after the other, which must be found. IPVS_SHORT=1 for fewer.
test-ipvs: toolchain
	LVX_IPVS=1 $(GO) test -v -count=1 -timeout 60m ./internal/oracle

# Half an hour of churn in memory; SOAK=1m for a minute.
SOAK ?= 30m
soak: toolchain
	LVX_SOAK=$(SOAK) $(GO) test -v -count=1 -timeout 60m ./internal/soak

demo: lvx
	./lvx demo

# Measures lvx and its peers side by side, as root, and writes bench/results:
# about 12 minutes, the short form 3. Quiet machines give better figures. A peer
# that is not there is a line of the result. ONLY=tcp,latency for these parts.
bench: lvx
	-.ci/packages bench
	./lvx bench run $(if $(ONLY),--only "$(ONLY)")

bench-short: lvx
	-.ci/packages bench
	./lvx bench run --short $(if $(ONLY),--only "$(ONLY)")

# Makes cmd/lvx/default.pgo, by which the compiler builds lvx: CPU profiles of a
# director that forwards a mixed load, as root and without the time it spends in
# the kernel, and of the benchmarks in memory.
profile: lvx
	@set -e; dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	./lvx bench profile -to $$dir/live; \
	$(GO) test -run '^$$' -bench 'Process|NewConnection' -benchtime 1s -o $$dir/test -cpuprofile $$dir/memory ./dataplane; \
	$(GO) tool pprof -proto -ignore Syscall6 $$dir/live $$dir/memory >cmd/lvx/default.pgo

clean:
	rm -f lvx
