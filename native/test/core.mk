# Builds the core and what of the upstream client needs no event loop, under a sanitizer, into
# $(BUILD)/libdualmap.a. Included by the makefiles here and in native/fuzz; run from the root.
# Wants BUILD, CXX and SANITIZE; SANITIZE_SIMDJSON may differ (one file, the slowest by far).

MODULES := node_modules
# Sources and flags as in CMakeLists.txt, less the optimizer.
CXXFLAGS := -std=c++20 -O1 -g1 -Wall -Wextra -fno-omit-frame-pointer -fno-exceptions \
  -DSIMDJSON_EXCEPTIONS=0 -Inative -isystem $(MODULES)/@nozbe/simdjson/src \
  -isystem $(MODULES)/xxhash-addon/xxHash
ifeq ($(shell uname -m),x86_64)
CXXFLAGS += -march=x86-64-v3
endif
SANITIZE_SIMDJSON ?= $(SANITIZE)

LIBRARY_SOURCES := $(wildcard native/core/*.cc) native/upstream/response_parser.cc $(MORE_SOURCES)
LIBRARY_OBJECTS := $(LIBRARY_SOURCES:native/%.cc=$(BUILD)/%.o)
LIBRARY := $(BUILD)/libdualmap.a

.DELETE_ON_ERROR:

$(BUILD)/core/simdjson.o: native/core/simdjson.cc
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(SANITIZE_SIMDJSON) -MMD -MP -c $< -o $@

$(BUILD)/%.o: native/%.cc
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(SANITIZE) -MMD -MP -c $< -o $@

$(LIBRARY): $(LIBRARY_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
