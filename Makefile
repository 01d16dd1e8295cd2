# snag: `make help` says what there is.  Every source is listed by name: a file that is not in a list is not built.
#
#   BUILD=DIR     where everything goes (build)
#   SAN=1         with AddressSanitizer and UBSan, into $(BUILD)/san;  SAN=thread: ThreadSanitizer, $(BUILD)/tsan
#   V=1           show the commands
#
# Nothing here asks pkg-config before a recipe needs it, so that `make demo` and `make check` work on a machine that has
# git and make only: they run scripts/deps first, and then this file again.

BUILD ?= build
SAN ?=
B := $(BUILD)$(if $(SAN),/$(if $(filter thread,$(SAN)),tsan,san))

CC = gcc
CXX = g++
STRIP = strip
AR = ar
OBJCOPY = objcopy
PKG_CONFIG = pkg-config
PREFIX ?= /usr/local

# --- Sources, by product -----------------------------------------------------------------------------------------

ENGINE_SRC = inject/engine/call.c inject/engine/board.c inject/engine/stack.c inject/engine/decide.c
PLAN_SRC = inject/version.c inject/plan/plan.c inject/plan/plan_file.c inject/plan/parse.c inject/plan/parse_action.c \
	inject/plan/parse_trigger.c inject/plan/parse_site.c inject/plan/parse_value.c inject/plan/parse_check.c inject/plan/diag.c \
	inject/plan/names.c inject/plan/duration.c inject/plan/describe.c inject/plan/page.c \
	inject/plan/check.c inject/plan/faults.c
RUN_SRC = inject/run/run.c inject/run/options.c inject/run/escape.c inject/run/session.c inject/run/steps.c \
	inject/run/events.c inject/run/preload.c inject/run/installed.c inject/run/reach.c inject/run/attach.c inject/run/unseen.c inject/run/boardfile.c \
	inject/run/spawn.c inject/run/tree.c inject/run/proc.c inject/run/output.c inject/run/ready.c \
	inject/run/endpoint.c inject/run/client.c inject/run/probe.c inject/run/verdict.c inject/run/summary.c inject/run/where.c \
	inject/run/say.c inject/run/keeper.c inject/run/rulebook.c inject/run/command.c inject/run/environment.c $(SECCOMP_SRC)
CONTROL_SRC = inject/control/ctl.c inject/control/found.c inject/control/server.c
SECCOMP_SRC = inject/run/seccomp.c inject/run/filter.c inject/run/supervisor.c inject/run/notified.c inject/run/takeover.c \
	inject/run/outside.c inject/run/evidence.c inject/run/readiness.c inject/run/target.c inject/run/recorder.c inject/run/warden.c \
	inject/run/callsite.c inject/run/stackwalk.c inject/run/registers.c inject/run/mapping.c inject/run/program.c
TRACE_SRC = inject/trace/drain.c inject/trace/jsonl.c inject/trace/address.c inject/trace/strace.c $(DECODE_SRC)
DECODE_SRC = inject/trace/decode.c inject/trace/decode_socket.c inject/trace/decode_fd.c inject/trace/decode_wait.c \
	inject/trace/decode_uring.c \
	inject/trace/words.c inject/trace/constants.c
REPORT_SRC = inject/report/report.c inject/report/reader.c inject/report/figures.c inject/report/callsites.c inject/report/life.c \
	inject/report/text.c inject/report/json.c
SYMBOLS_SRC = inject/sites/symbols.c inject/sites/gotable.c inject/sites/lines.c inject/sites/demangle.c inject/sites/texts.c \
	inject/sites/pattern.c
SITES_SRC = $(SYMBOLS_SRC) inject/sites/modules.c inject/sites/resolve.c inject/sites/sites.c
LESSON_SRC = $(addprefix inject/lesson/,lesson.c stage.c script.c step.c check.c grade.c exercise.c text.c embed.c cells.c lanes.c page.c)
# What is put into the program: inject/lesson/files.def names it.
LESSON_FILES = $(wildcard inject/lesson/texts/*/* inject/lesson/page/*) $(LISTENER_SRC) $(LESSON_SERVER_SRC)
EXPLORE_SRC = inject/explore/explore.c inject/explore/config.c inject/explore/case.c inject/explore/cases.c \
	inject/explore/campaign.c inject/explore/worker.c inject/explore/crash.c inject/explore/place.c inject/explore/trial.c \
	inject/explore/visitor.c inject/explore/measure.c inject/explore/oracle.c inject/explore/folder.c \
	inject/explore/accepted.c inject/explore/replay.c inject/explore/minimise.c inject/explore/diff.c \
	inject/explore/squeeze.c inject/explore/watchdog.c
CAMPAIGN_SRC = inject/report/campaign.c inject/report/matrix.c inject/report/terminal.c inject/report/junit.c \
	inject/report/markdown.c inject/report/html.c inject/report/html_style.c inject/report/html_timeline.c inject/report/html_stack.c \
	inject/report/escape.c
HELP_SRC = inject/help/help.c inject/completion/completion.c inject/completion/values.c inject/completion/rule.c
SNAG_SRC = inject/main.c $(HELP_SRC) $(RUN_SRC) $(CONTROL_SRC) $(EXPLORE_SRC) $(SITES_SRC) $(TRACE_SRC) $(REPORT_SRC) $(CAMPAIGN_SRC) \
	$(LESSON_SRC) $(PLAN_SRC) $(ENGINE_SRC)

SHIM_SRC = shim/arch.S shim/loader.c shim/real.c shim/session.c shim/record.c shim/site.c shim/unwind.c shim/module.c shim/fds.c \
	shim/scene.c shim/hook.c shim/show.c shim/wrap_socket.c shim/wrap_fd.c shim/wrap_pipe.c shim/wrap_wait.c \
	shim/wrap_exec.c shim/wrap_load.c shim/wrap_filter.c shim/wrap_syscall.c
SHIM_ENGINE_SRC = $(ENGINE_SRC)

LISTENER_SRC = listener/listener.c listener/bind.c listener/loop.c listener/round.c listener/policy.c listener/shed.c \
	listener/error.c listener/option.c listener/report.c listener/observe.c
LISTENER_MAP = listener/evconnlistener.map
ECHO_SRC = listener/examples/echo.c
LESSON_SERVER_SRC = $(addprefix inject/lesson/server/,main.c tell.c create.c clients.c errors.c threads.c)
LESSON_ORIGINAL_SRC = inject/lesson/server/original.c

# Unit tests: tests/unit/NAME_test.c each, with the sources of TEST_NAME.
UNIT_TESTS = harness engine plan rulebook drain run trace lesson symbols gotable sites oracle listener listener_policy \
	listener_thread listener_sweep $(SHIM_TESTS)
TEST_engine = $(ENGINE_SRC)
TEST_plan = $(ENGINE_SRC) $(PLAN_SRC)
TEST_rulebook = inject/run/rulebook.c $(ENGINE_SRC) $(PLAN_SRC)
TEST_drain = inject/trace/drain.c $(ENGINE_SRC)
TEST_run = $(filter-out inject/main.c,$(SNAG_SRC)) $(LISTENER_SRC)
TEST_sites = $(ENGINE_SRC) $(PLAN_SRC) $(SITES_SRC)
TEST_gotable = inject/sites/gotable.c
TEST_symbols = $(ENGINE_SRC) $(PLAN_SRC) $(SYMBOLS_SRC)
TEST_oracle = inject/explore/oracle.c inject/explore/case.c inject/report/escape.c inject/run/verdict.c \
	inject/plan/names.c $(ENGINE_SRC)
TEST_trace = $(ENGINE_SRC) $(PLAN_SRC) $(SITES_SRC) $(DECODE_SRC) inject/trace/address.c inject/trace/strace.c
TEST_lesson = $(filter-out inject/main.c,$(SNAG_SRC)) $(LISTENER_SRC)
LISTENER_TESTS = listener listener_policy listener_thread listener_sweep
LISTENER_TEST_SRC = $(LISTENER_SRC) tests/unit/listener_world.c tests/unit/listener_faults.c
TEST_listener = $(LISTENER_TEST_SRC)
TEST_listener_policy = $(LISTENER_TEST_SRC)
TEST_listener_thread = $(LISTENER_TEST_SRC)
TEST_listener_sweep = $(LISTENER_TEST_SRC)

# Tests of libsnag.so, which start themselves again with it, and libraries that they preload beside it.
SHIM_TESTS = calls shim_guest shim_accept shim_exhaust shim_count shim_process shim_start shim_record shim_site
SHIM_TEST_LIBS = preload_early preload_malloc preload_accept preload_no_unwind site_plugin_one site_plugin_two
SHIM_TEST_SRC = tests/unit/shim_case.c tests/unit/session_board.c $(ENGINE_SRC) $(PLAN_SRC)
$(foreach test,$(SHIM_TESTS),$(eval TEST_$(test) = $(SHIM_TEST_SRC)))

# Fuzz targets: tests/fuzz/NAME_fuzz.c each, with the sources of FUZZ_NAME.  tests/cli/fuzz_test.sh gives them their corpus.
FUZZ_TARGETS = plan board trace control
FUZZ_plan = $(ENGINE_SRC) $(PLAN_SRC)
FUZZ_board = $(TEST_trace) inject/trace/drain.c inject/trace/jsonl.c inject/run/say.c shim/record.c
FUZZ_trace = $(filter-out inject/main.c,$(SNAG_SRC))
FUZZ_control = $(FUZZ_trace) $(LISTENER_SRC)

# Servers and other programs that the command-line tests start: tests/cli/servers/NAME.c each.
CLI_PROGRAMS = free_port student past wrong interrupted foreign tiny tiny_static tiny_asan caller quiet hand_over sites sites_exec sites_asan thrower \
	thrower_llvm two_places templates evhttp evhttp_core evhttp_shared evhttp_archive \
	$(if $(SAN),,evhttp_static)
LIBS_tiny_static = -static
LIBS_tiny_asan = -fsanitize=address

# Shell tests: each file is run in a process of its own by tests/run.
CLI_TESTS = tests/cli/harness_test.sh tests/cli/library_test.sh tests/cli/dropin_test.sh tests/cli/check_test.sh tests/cli/faults_test.sh tests/cli/manual_test.sh tests/cli/completion_test.sh tests/cli/readme_test.sh \
	tests/cli/run_test.sh tests/cli/run_bad_input_test.sh tests/cli/run_reach_test.sh tests/cli/run_signals_test.sh \
	tests/cli/run_client_test.sh tests/cli/seccomp_test.sh tests/cli/both_test.sh tests/cli/run_unseen_test.sh tests/cli/run_sites_test.sh tests/cli/ctl_test.sh tests/cli/session_test.sh tests/cli/explore_test.sh \
	tests/cli/squeeze_test.sh tests/cli/trace_test.sh tests/cli/report_test.sh tests/cli/callsites_test.sh \
	tests/cli/lesson_test.sh tests/cli/fuzz_test.sh tests/cli/install_test.sh
PAGE_TESTS = tests/pages/lesson_pages_test.sh tests/pages/report_pages_test.sh
SERVER_TESTS = tests/servers/listener_test.sh tests/servers/nginx_test.sh tests/servers/redis_test.sh tests/servers/memcached_test.sh \
	tests/servers/debian_test.sh

# --- Flags -------------------------------------------------------------------------------------------------------

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wconversion -Werror
CFLAGS ?= -O2 -g
SNAG_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) -I. -Iinject -Ilistener -pthread
SNAG_LDFLAGS = -pthread

SAN_FLAGS = $(if $(SAN),$(if $(filter thread,$(SAN)),-fsanitize=thread -Wno-tsan,\
	-fsanitize=address,undefined -fno-sanitize-recover=undefined) -fno-omit-frame-pointer)
# The run-time library goes into the program: libsnag.so has to be the first library that is preloaded.
SAN_LINK = $(SAN_FLAGS) $(if $(SAN),$(if $(filter thread,$(SAN)),-static-libtsan,-static-libasan -static-libubsan))

# $(call pkg,cflags|libs,PACKAGES): asked once, and not before a recipe uses it.
pkg_key = pkg_$1_$(subst $() ,_,$2)
pkg_ask = $(shell $(PKG_CONFIG) --$1 $2)$(if $(filter-out 0,$(.SHELLSTATUS)),\
	$(error $2 not found by $(PKG_CONFIG): scripts/deps build installs what is missing))
pkg = $(if $(filter undefined,$(flavor $(pkg_key))),$(eval $(pkg_key) := $(call pkg_ask,$1,$2)))$($(pkg_key))

# libiberty, which takes names apart, comes without a file for pkg-config.
SITES_LIBS = $(call pkg,libs,libdw libelf) -liberty
EVENT_PKGS = libevent_core libevent_extra libevent_openssl libevent_pthreads
SNAG_PKGS = $(EVENT_PKGS) openssl jansson libseccomp

# --- Goals -------------------------------------------------------------------------------------------------------

.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all tests demo lessons check check-pages gauntlet fuzz suites bench bench-listener lint format sources install uninstall deb check-deb tarball check-tarball support clean help FORCE

LESSON_SERVERS = $(B)/lesson-server $(B)/lesson-server-libevent
PRODUCTS = $(B)/snag $(B)/libsnag.so $(B)/libevconnlistener.so $(B)/libevconnlistener.a $(B)/listener-echo \
	$(LESSON_SERVERS)
UNIT_PROGRAMS = $(UNIT_TESTS:%=$(B)/tests/%_test)
CLI_BINARIES = $(CLI_PROGRAMS:%=$(B)/tests/%)

all: $(PRODUCTS)

tests: $(UNIT_PROGRAMS) $(CLI_BINARIES) $(FUZZ_TARGETS:%=$(B)/tests/%_fuzz) $(B)/tests/harness_sample $(B)/demo-client

again = +@$(MAKE) --no-print-directory BUILD=$(BUILD)

demo:
	@scripts/deps build demo
	$(again) all $(B)/demo-client $(B)/tests/free_port
	@BUILD_DIR=$(B) scripts/demo

check:
	@scripts/deps build test
	$(again) all tests
	@BUILD_DIR=$(B) tests/run $(if $(SAN),,lint) $(UNIT_PROGRAMS) $(CLI_TESTS) $(SERVER_TESTS)

TIME ?= 60
fuzz:
	@scripts/deps build fuzz
	$(again) $(FUZZ_TARGETS:%=$(B)/fuzz/%)
	@BUILD_DIR=$(B) scripts/fuzz $(TIME) $(FUZZ_TARGETS)

suites:
	@scripts/deps build test
	$(again) all tests
	@BUILD_DIR=$(B) scripts/suites

lessons:
	@scripts/deps build
	$(again) all
	@$(B)/snag lesson --all $(B)/lessons
	@echo '$(B)/lessons/index.html'

# Not part of check: a browser is four times as large as all that check needs.
check-pages:
	@scripts/deps build test pages
	$(again) all $(B)/tests/free_port $(B)/tests/wrong
	@BUILD_DIR=$(B) PROGRAM_SECONDS=600 tests/run $(PAGE_TESTS)

gauntlet:
	@scripts/deps build gauntlet
	$(again) all $(B)/tests/free_port $(B)/zero-length.so
	@BUILD_DIR=$(B) scripts/gauntlet $(SERVERS)

bench:
	@scripts/deps build bench
	$(again) all $(B)/bench-accept $(B)/tests/free_port
	@BUILD_DIR=$(B) scripts/bench
	@echo
	$(again) bench-listener

bench-listener:
	@scripts/deps build bench
	$(again) all $(B)/bench-listener
	@BUILD_DIR=$(B) scripts/bench-listener

lint:
	@scripts/deps build lint
	@scripts/lint

format:
	@scripts/deps lint
	@find inject shim listener tests scripts -name '*.[ch]' -exec clang-format -i {} +

# Every file that some list above names, for scripts/lint, which looks for files that none does.
sources:
	@printf '%s\n' $(sort $(SNAG_SRC) $(SHIM_SRC) $(SHIM_ENGINE_SRC) $(LISTENER_SRC) $(ECHO_SRC) $(LESSON_SERVER_SRC) $(LESSON_ORIGINAL_SRC) \
		$(foreach test,$(UNIT_TESTS),tests/unit/$(test)_test.c $(TEST_$(test))) tests/unit/harness.c \
		tests/unit/harness_sample.c $(filter-out %/templates.c,$(CLI_PROGRAMS:%=tests/cli/servers/%.c)) $(SHIM_TEST_LIBS:%=tests/unit/%.c) scripts/demo-client.c scripts/zero-length.c tests/bench/accept.c \
		$(foreach target,$(FUZZ_TARGETS),tests/fuzz/$(target)_fuzz.c) tests/fuzz/fuzz.c tests/fuzz/corpus.c \
		listener/bench/listener.c tests/unit/modules/places.c tests/cli/servers/plugin.c \
		$(CLI_TESTS) $(SERVER_TESTS) $(PAGE_TESTS))

BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR = $(PREFIX)/share/man
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR = $(PREFIX)/share/zsh/site-functions
OWNDIR = $(LIBDIR)/snag
LISTENER_SO = libevconnlistener.so.1
VERSION = $(shell sed -n 's/^\#define SNAG_VERSION "\(.*\)"/\1/p' inject/version.h)
MANUALS = $(wildcard inject/man/*.[1-8] shim/man/*.[1-8] listener/man/*.[1-8])

# FILE:WHERE, both with a name: programs, libraries and data as they are installed, but for what is made on the way.
INSTALL_PROGRAMS = $(B)/snag:$(BINDIR)/snag $(B)/libsnag.so:$(OWNDIR)/libsnag.so $(B)/lesson-server:$(OWNDIR)/lesson-server \
	$(B)/lesson-server-libevent:$(OWNDIR)/lesson-server-libevent $(B)/libevconnlistener.so:$(LIBDIR)/$(LISTENER_SO).0.0
INSTALL_DATA = $(B)/libevconnlistener.a:$(LIBDIR)/libevconnlistener.a listener/evconnlistener.h:$(INCLUDEDIR)/evconnlistener.h \
	$(B)/libevconnlistener.pc:$(LIBDIR)/pkgconfig/libevconnlistener.pc $(B)/libsnag.pc:$(LIBDIR)/pkgconfig/libsnag.pc \
	$(foreach page,$(MANUALS),$(page):$(MANDIR)/man$(patsubst .%,%,$(suffix $(page)))/$(notdir $(page))) \
	$(foreach file,$(wildcard inject/completion/snag.bash),$(file):$(BASHDIR)/snag) \
	$(foreach file,$(wildcard inject/completion/_snag),$(file):$(ZSHDIR)/_snag)
FOLDERS_FILE = $(OWNDIR)/folders
installed = $(foreach pair,$(INSTALL_PROGRAMS) $(INSTALL_DATA),$(lastword $(subst :, ,$(pair)))) \
	$(LIBDIR)/$(LISTENER_SO) $(LIBDIR)/libevconnlistener.so
# $(call install_as,MODE,FILE:WHERE)
install_as = install -D -m $1 $(firstword $(subst :, ,$2)) $(DESTDIR)$(lastword $(subst :, ,$2))
define NEWLINE


endef

install: all
	@mkdir -p $(B)
	@for pc in listener/libevconnlistener shim/libsnag; do sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' $$pc.pc.in > $(B)/$${pc##*/}.pc || exit 1; done
	scripts/folders add '$(DESTDIR)' $(FOLDERS_FILE) $(sort $(dir $(installed)))
	$(foreach pair,$(INSTALL_PROGRAMS),$(call install_as,755,$(pair))$(NEWLINE)	)
	$(foreach pair,$(INSTALL_DATA),$(call install_as,644,$(pair))$(NEWLINE)	)
	ln -sf $(LISTENER_SO).0.0 $(DESTDIR)$(LIBDIR)/$(LISTENER_SO)
	ln -sf $(LISTENER_SO) $(DESTDIR)$(LIBDIR)/libevconnlistener.so

uninstall:
	rm -f $(installed:%=$(DESTDIR)%)
	scripts/folders remove '$(DESTDIR)' $(FOLDERS_FILE)

deb:
	@scripts/deps build deb
	@BUILD_DIR=$(BUILD) scripts/deb

check-deb: deb
	@scripts/deps roots
	@BUILD_DIR=$(BUILD) scripts/check-deb

tarball:
	@scripts/deps build
	$(again) $(B)/static/snag $(B)/libsnag.so
	@BUILD_DIR=$(BUILD) scripts/tarball

check-tarball: tarball
	@scripts/deps roots minimal
	$(again) $(B)/tests/tiny
	@BUILD_DIR=$(BUILD) scripts/check-tarball

support:
	@scripts/deps build test support
	@BUILD_DIR=$(BUILD) scripts/support

clean:
	rm -rf $(BUILD)

help:
	@echo 'make            build everything into $(BUILD)/'
	@echo 'make demo       the main job on the bundled listener and on nginx, redis-server and memcached'
	@echo 'make lessons    what happens inside a listener, as pages to step through, into $$(BUILD)/lessons/'
	@echo 'make check      lint, unit tests, command-line tests, tests on real servers; the last line says how many passed'
	@echo 'make check-pages  the pages of the lessons in headless Chromium'
	@echo 'make gauntlet   what snag says of $$(SERVERS), all that scripts/servers.sh knows, beside what is seen without it'
	@echo 'make fuzz       gives the parsers and the board inputs that grow, TIME=60 seconds each (clang)'
	@echo 'make suites     the test suites of GLib and CPython, and ours, with and without a session; takes 25 minutes'
	@echo 'make bench      what the shim costs, with its limits, and beside it libfiu and strace'
	@echo 'make lint       clang-format, clang-tidy, cppcheck;   make format   lays the sources out'
	@echo 'make install    into $$(DESTDIR)$(PREFIX): snag, the libraries, the header, the manual page;   make uninstall'
	@echo 'make deb        Debian packages, into $$(BUILD)/deb/;   make check-deb  tries them in a clean root (needs root)'
	@echo 'make tarball    one archive for other systems, into $$(BUILD)/tarball/;   make check-tarball  tries it in some (needs root)'
	@echo 'make support    compilers, libcs and machines, tried one by one; a table'
	@echo 'make clean      remove $(BUILD)/'
	@echo 'SAN=1 (ASan, UBSan), SAN=thread (TSan), V=1 (show the commands), BUILD=DIR'

# --- Rules -------------------------------------------------------------------------------------------------------

Q := $(if $(V),,@)
say = $(if $(V),,@printf '[ %-3s ] %s\n' '$1' '$(patsubst $(B)/%,%,$2)')

# Objects depend on this file, which changes when the flags or the compiler do.
FLAGS_NOW := $(CC) $(CFLAGS) $(CPPFLAGS) $(SNAG_CFLAGS) $(SAN_FLAGS) $(LDFLAGS)
$(B)/flags: FORCE
	@mkdir -p $(@D); echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' > $@
FORCE:

# What the tree is at, for snag --version; asked when a recipe needs it.  A package says it itself: make COMMIT=...
COMMIT = $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown)
$(B)/commit: FORCE
	@mkdir -p $(@D); commit='$(COMMIT)'; echo "$$commit" | cmp -s - $@ || echo "$$commit" > $@
$(B)/obj/inject/version.o: $(B)/commit
$(B)/obj/inject/version.o: CPPFLAGS += -DSNAG_COMMIT='"$(shell cat $(B)/commit)"'

COMPILE = $(CC) $(SNAG_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP

# Three ways to compile a file: for our programs, for our programs' tests, and for a library that other people's
# programs load (never with a sanitizer: the program would not have its run-time).
$(B)/obj/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(SAN_FLAGS) $(call pkg,cflags,$(SNAG_PKGS)) -c -o $@ $<

$(B)/obj/tests/%.o: tests/%.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(SAN_FLAGS) $(call pkg,cflags,$(SNAG_PKGS) cmocka) -c -o $@ $<

PIC = -fPIC -fvisibility=hidden -ftls-model=initial-exec
# After each system call the processor's predictions are cold, so every call and jump that the shim saves counts: this is
# 6 ns of the 22 that a rule costs which does not fire.  A function that begins on a line of the cache costs 1 ns less of them.
# Fortified, the headers would define inline what the shim defines (poll).
SHIM_OPT = -O3 -U_FORTIFY_SOURCE -falign-functions=64 -flto=auto -fno-plt -fno-semantic-interposition
$(B)/pic/%.o: %.c $(B)/flags
	$(call say,PIC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(PIC) -c -o $@ $<

$(B)/pic/%.o: %.S $(B)/flags
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -I. -Iinject -g -fPIC -MMD -MP -c -o $@ $<

objects = $(patsubst %,$(B)/obj/%.o,$(basename $1))
pic_objects = $(patsubst %,$(B)/pic/%.o,$(basename $1))
link = $(CC) $(SAN_LINK) $(SNAG_LDFLAGS) $(CFLAGS) $(LDFLAGS)

$(B)/obj/inject/lesson/embed.o: $(LESSON_FILES)

# The topics of `snag help`: a page, and the section of it if it is not all (inject/help/help.c).
HELP_plan = inject/man/snag-plan.5
HELP_verdicts = inject/man/snag.1 VERDICTS
HELP_status = inject/man/snag.1 EXIT STATUS
HELP_environment = inject/man/snag.1 ENVIRONMENT
HELP_files = inject/man/snag.1 FILES
HELP_examples = inject/man/snag.1 EXAMPLES
HELP_manual = inject/man/snag.1
HELP_shim = shim/man/libsnag.7
HELP_TEXTS = $(patsubst %,$(B)/help/%.txt,plan verdicts status environment files examples manual shim)
$(HELP_TEXTS): $(B)/help/%.txt: inject/help/text.awk inject/man/snag.1 inject/man/snag-plan.5 shim/man/libsnag.7
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)awk -v section='$(wordlist 2,9,$(HELP_$*))' -f inject/help/text.awk $(firstword $(HELP_$*)) > $@
$(B)/obj/inject/help/help.o: CPPFLAGS += -DHELP_TEXTS='"$(B)/help/"'
$(B)/obj/inject/help/help.o: $(HELP_TEXTS)
$(B)/obj/inject/completion/completion.o: inject/completion/snag.bash inject/completion/_snag

# With our own listener for the control socket.
$(B)/snag: $(call objects,$(SNAG_SRC)) $(B)/libevconnlistener.a
	$(call say,LD,$@)
	$(Q)$(link) -o $@ $^ $(call pkg,libs,$(SNAG_PKGS)) $(SITES_LIBS) $(LDLIBS)

# The same without a library of the system, for the archive that goes into other people's: what the linker then says of
# functions that want to load one at run time (getpwuid_r for a name in a list, libcrypto's modules) is true and no harm.
$(B)/static/snag: $(call objects,$(SNAG_SRC)) $(B)/libevconnlistener.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -static -o $@ $^ $$($(PKG_CONFIG) --static --libs $(SNAG_PKGS) libdw libelf) -liberty 2> $@.log || { cat $@.log; exit 1; }

# The shim exports the names of calls.def and of shim/exports.def, and needs libc alone: glibc's libdl.so.2 is a part of it
# (shim/loader.h).
SHIM_DEFS = inject/engine/calls.def $(wildcard shim/exports.def)
$(B)/shim.map: $(SHIM_DEFS) scripts/shim-map
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)scripts/shim-map $(SHIM_DEFS) > $@

$(call pic_objects,$(SHIM_SRC) $(SHIM_ENGINE_SRC)): PIC += $(SHIM_OPT)
$(B)/pic/shim/loader.o: PIC += -fno-lto
$(B)/libsnag.so: $(call pic_objects,$(SHIM_SRC) $(SHIM_ENGINE_SRC)) $(B)/shim.map
	$(call say,LD,$@)
	$(Q)$(CC) -shared -pthread $(CFLAGS) $(SHIM_OPT) $(LDFLAGS) -Wl,--version-script=$(B)/shim.map -Wl,-z,defs -Wl,-z,now \
		-Wl,-z,noexecstack -Wl,-soname,libsnag.so -Wl,--no-as-needed -o $@ $(filter %.o,$^) -l:libdl.so.2

# Without libevent: it takes the functions of the one that the program has (listener/libevent.h).
$(B)/libevconnlistener.so: $(call pic_objects,$(LISTENER_SRC)) $(LISTENER_MAP)
	$(call say,LD,$@)
	$(Q)$(CC) -shared -pthread $(CFLAGS) $(LDFLAGS) -Wl,--version-script=$(LISTENER_MAP) -Wl,-z,lazy \
		-Wl,-soname,libevconnlistener.so.1 -o $@.tmp $(filter %.o,$^)
	$(Q)ln -sf $(@F) $@.1; mv $@.tmp $@

# One relocatable object and not an archive: of an archive the linker takes only what an earlier file asks for, and in a
# program that uses evhttp it is libevent, which comes later, that asks.  Weak, so that naming it twice does no harm.
$(B)/libevconnlistener.a: $(call objects,$(LISTENER_SRC)) $(LISTENER_MAP)
	$(call say,LD,$@)
	$(Q)$(CC) -r -nostdlib -o $@.tmp $(filter %.o,$^)
	$(Q)sed -n 's/^ *\(evconnlistener_[a-z_]*\);$$/\1/p' $(LISTENER_MAP) > $@.names; echo _.stapsdt.base >> $@.names
	$(Q)$(OBJCOPY) --keep-global-symbols=$@.names --weaken-symbols=$@.names $@.tmp $@; rm $@.tmp $@.names

$(B)/listener-echo: $(call objects,$(ECHO_SRC)) $(B)/libevconnlistener.a
	$(call say,LD,$@)
	$(Q)$(link) -o $@ $^ $(call pkg,libs,libevent_core libevent_pthreads)

# The servers of the lessons, on our listener and on libevent's.
$(B)/lesson-server: $(call objects,$(LESSON_SERVER_SRC)) $(B)/libevconnlistener.a
$(B)/lesson-server-libevent: $(call objects,$(LESSON_SERVER_SRC) $(LESSON_ORIGINAL_SRC))
$(LESSON_SERVERS):
	$(call say,LD,$@)
	$(Q)$(link) -o $@ $^ $(call pkg,libs,libevent_core libevent_pthreads)

# One rule a unit test, from its list of sources.
define unit_test
$(B)/tests/$1_test: $(call objects,tests/unit/$1_test.c tests/unit/harness.c $(TEST_$1))
endef
$(foreach test,$(UNIT_TESTS),$(eval $(call unit_test,$(test))))
# Each fuzz target with a main() of ours, and with libFuzzer, for which all of it is compiled anew.
fuzz_objects = $(patsubst %,$(B)/fuzz/obj/%.o,$(basename $1))
define fuzz_target
$(B)/tests/$1_fuzz: $(call objects,tests/fuzz/$1_fuzz.c tests/fuzz/fuzz.c tests/fuzz/corpus.c $(FUZZ_$1))
$(B)/fuzz/$1: $(call fuzz_objects,tests/fuzz/$1_fuzz.c tests/fuzz/fuzz.c $(FUZZ_$1))
endef
$(foreach target,$(FUZZ_TARGETS),$(eval $(call fuzz_target,$(target))))

FUZZ_CC = clang
FUZZ_FLAGS = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
$(B)/fuzz/obj/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(SNAG_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
$(FUZZ_TARGETS:%=$(B)/fuzz/%):
	$(call say,LD,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(call pkg,libs,$(SNAG_PKGS)) $(SITES_LIBS)
$(FUZZ_TARGETS:%=$(B)/tests/%_fuzz):
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -o $@ $^ $(call pkg,libs,$(SNAG_PKGS)) $(SITES_LIBS)

# The listener's tests make these calls fail (tests/unit/listener_faults.h).
LISTENER_WRAPPED = socket setsockopt bind listen accept accept4 fcntl eventfd calloc event_add event_assign pthread_mutex_lock
$(LISTENER_TESTS:%=$(B)/tests/%_test): LDFLAGS += $(LISTENER_WRAPPED:%=-Wl,--wrap=%)

# One that finds no room for the board.
$(B)/tests/run_test: LDFLAGS += -Wl,--wrap=posix_fallocate

$(B)/tests/harness_sample: $(call objects,tests/unit/harness_sample.c tests/unit/harness.c)
$(B)/tests/harness_test: | $(B)/tests/harness_sample
$(B)/tests/shim_site_test: | $(B)/tests/sites $(B)/tests/sites_exec
$(SHIM_TESTS:%=$(B)/tests/%_test): | $(B)/libsnag.so $(SHIM_TEST_LIBS:%=$(B)/tests/%.so)

# What symbols_test reads: one library with all that can be known of it, and with less and less.
MODULES = places.so places_unlisted.so places_split.so places_stripped.so places_mini.so places_cc.so
$(B)/tests/symbols_test $(B)/tests/sites_test: | $(MODULES:%=$(B)/tests/%)
$(B)/tests/places.so: tests/unit/modules/places.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -g -O2 -shared -fPIC -fno-semantic-interposition -fno-reorder-functions -Wl,--build-id=sha1 -o $@ $<
$(B)/tests/places_cc.so: tests/unit/modules/places_cc.cc $(B)/flags
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -O2 -shared -fPIC -nostdlib -Wl,--build-id=none -o $@ $<
$(B)/tests/places_unlisted.so: $(B)/tests/places.so
	$(Q)$(OBJCOPY) --remove-section=.debug_aranges $< $@
$(B)/tests/places_stripped.so: $(B)/tests/places.so
	$(Q)$(STRIP) -o $@ $<
$(B)/tests/places_split.so: $(B)/tests/places.so
	$(Q)$(OBJCOPY) --only-keep-debug $< $@.debug
	$(Q)$(STRIP) -o $@ $<; $(OBJCOPY) --add-gnu-debuglink=$@.debug $@
$(B)/tests/places_mini.so: $(B)/tests/places.so
	$(Q)$(OBJCOPY) --only-keep-debug $< $@.mini; $(OBJCOPY) --strip-debug $@.mini; xz -f $@.mini
	$(Q)$(STRIP) -o $@ $<; $(OBJCOPY) --add-section=.gnu_debugdata=$@.mini.xz $@

$(B)/tests/%.so: tests/unit/%.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -shared -fPIC -o $@ $<

$(UNIT_PROGRAMS) $(B)/tests/harness_sample:
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -o $@ $^ $(call pkg,libs,$(SNAG_PKGS) cmocka) $(SITES_LIBS) -ldl

# Programs that get libsnag.so preloaded as a stranger's would: without sanitizers.
# A plugin of one of them, and one in C++.
$(B)/tests/two_places: | $(B)/tests/plugin.so
$(B)/tests/plugin.so: tests/cli/servers/plugin.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -shared -fPIC -o $@ $<
$(B)/tests/templates: tests/cli/servers/templates.cc $(B)/flags
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -O2 -g -Wall -Wextra -Werror -o $@ $<

$(B)/tests/%: tests/cli/servers/%.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -o $@ $< -pthread $(LIBS_$*) -ldl

# A program that is always loaded at the same address.
$(B)/tests/sites_exec: tests/cli/servers/sites.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -fno-pie -no-pie -o $@ $<

$(B)/tests/sites_asan: tests/cli/servers/sites.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -fsanitize=address -o $@ $<

# In C++, with the unwinder of gcc and with that of LLVM, which stands before it.
LINK_thrower_llvm = -Wl,--no-as-needed -l:libunwind.so.1
$(B)/tests/thrower $(B)/tests/thrower_llvm: tests/cli/servers/thrower.cc $(B)/flags
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++17 -O1 -g -Wall -Wextra -Werror -fnon-call-exceptions -pthread -MMD -MP -MF $@.d -o $@ $< $(LINK_$(@F)) -ldl

# One web server on libevent's evhttp, with its listener and with ours, linked in each way that there is.
LINK_evhttp = $(call pkg,libs,libevent)
LINK_evhttp_core = $(call pkg,libs,libevent_core libevent_extra)
LINK_evhttp_shared = -L$(B) -Wl,--no-as-needed -levconnlistener $(call pkg,libs,libevent)
LINK_evhttp_archive = $(SAN_LINK) $(B)/libevconnlistener.a $(call pkg,libs,libevent)
LINK_evhttp_static = -static $(B)/libevconnlistener.a $(call pkg,libs,libevent) 2>/dev/null
$(patsubst %,$(B)/tests/%,$(filter evhttp%,$(CLI_PROGRAMS))): tests/cli/servers/evhttp.c $(B)/flags $(B)/libevconnlistener.so \
		$(B)/libevconnlistener.a
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -o $@ $< $(LINK_$(@F))

$(B)/demo-client: $(call objects,scripts/demo-client.c inject/run/escape.c)
	$(call say,LD,$@)
	$(Q)$(link) -o $@ $^

# The gauntlet's own fault, for servers that are strangers: without sanitizers.
$(B)/zero-length.so: scripts/zero-length.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -shared -fPIC -o $@ $<

$(B)/bench-accept: tests/bench/accept.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -o $@ $<

$(B)/bench-listener: listener/bench/listener.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d -o $@ $< $(call pkg,libs,libevent_core)

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')
