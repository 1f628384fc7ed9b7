#ifndef CONVOY_LIBFUZZER_DRIVER_H
#define CONVOY_LIBFUZZER_DRIVER_H

#include <stddef.h>
#include <stdint.h>

/// libFuzzer as a library, as https://llvm.org/docs/LibFuzzer.html has it; `-sanitize=fuzzer` links
/// it. Returns, or ends the process, when the fuzzing is over.
int LLVMFuzzerRunDriver(
    int *argumentCount, char ***arguments, int (*callback)(const uint8_t *bytes, size_t byteCount));

#endif
