// The library as a whole: failures, version, threads, contexts.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static _Thread_local char message[512] = "no failure";

const char *convoy_dnnl_message(void) { return message; }

int convoy_dnnl_fail(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return status == 0 ? -1 : status;
}

static const char *status_text(dnnl_status_t status) {
    switch (status) {
        case dnnl_success: return "success";
        case dnnl_out_of_memory: return "out of memory";
        case dnnl_invalid_arguments: return "invalid arguments";
        case dnnl_unimplemented: return "not implemented for this shape or type";
        case dnnl_runtime_error: return "run-time error";
        case dnnl_not_required: return "not required";
        default: return "unknown status";
    }
}

int convoy_dnnl_check(dnnl_status_t status, const char *what) {
    if (status == dnnl_success) return 0;
    return convoy_dnnl_fail((int)status, "oneDNN: %s: %s (status %d)", what, status_text(status),
                            (int)status);
}

void convoy_dnnl_version(int *major, int *minor, int *patch) {
    const dnnl_version_t *version = dnnl_version();
    *major = version->major;
    *minor = version->minor;
    *patch = version->patch;
}

// Threads -----------------------------------------------------------------------------------------

#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP
// The OpenMP runtime is the one that the oneDNN library itself was linked to. So its functions are
// looked up in the process rather than linked. The number of threads is a setting of each thread.
// oneDNN reads it when it creates a primitive and when it runs one, and starts no other threads
// when it is 1.
static void (*set_thread_count)(int);
static int (*get_thread_count)(void);
static pthread_once_t lookup = PTHREAD_ONCE_INIT;

static void look_up_functions(void) {
    void *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    memcpy(&set_thread_count, &set, sizeof set);
    memcpy(&get_thread_count, &get, sizeof get);
}

int convoy_dnnl_use_one_thread(void) {
    pthread_once(&lookup, look_up_functions);
    if (!set_thread_count || !get_thread_count)
        return convoy_dnnl_fail(-1, "oneDNN runs on OpenMP, but omp_set_num_threads is not in the "
                                    "process, so its threads cannot be limited to one");
    if (get_thread_count() == 1) return 0;
    set_thread_count(1);
    if (get_thread_count() != 1)
        return convoy_dnnl_fail(-1, "OpenMP was asked for 1 thread and would use %d",
                                get_thread_count());
    return 0;
}
#elif DNNL_CPU_RUNTIME == DNNL_RUNTIME_SEQ
int convoy_dnnl_use_one_thread(void) { return 0; }
#else
int convoy_dnnl_use_one_thread(void) {
    return convoy_dnnl_fail(-1, "this oneDNN was built for a runtime other than OpenMP or "
                                "sequential; its threads cannot be limited to one per caller. "
                                "Install an OpenMP build (Debian: libdnnl-dev)");
}
#endif

// Context -----------------------------------------------------------------------------------------

int convoy_dnnl_context_create(convoy_dnnl_context **context) {
    *context = NULL;
    convoy_dnnl_context *new = calloc(1, sizeof *new);
    if (!new) return convoy_dnnl_fail(-1, "out of memory for an engine");
    int status =
        convoy_dnnl_check(dnnl_engine_create(&new->engine, dnnl_cpu, 0), "creating an engine");
    if (!status)
        status = convoy_dnnl_check(
            dnnl_stream_create(&new->stream, new->engine, dnnl_stream_in_order),
            "creating a stream");
    if (status) {
        convoy_dnnl_context_destroy(new);
        return status;
    }
    *context = new;
    return 0;
}

void convoy_dnnl_context_destroy(convoy_dnnl_context *context) {
    if (!context) return;
    if (context->stream) dnnl_stream_destroy(context->stream);
    if (context->engine) dnnl_engine_destroy(context->engine);
    free(context);
}
