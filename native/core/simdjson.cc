// simdjson as one translation unit of ours: gyp takes no source outside the project.
#include "simdjson.cpp"
