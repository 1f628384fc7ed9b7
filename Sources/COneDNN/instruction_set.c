// Instruction sets: their names, the ones that this host has, and the cap.

#define _GNU_SOURCE
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "internal.h"

typedef struct {
    const char *name;
    unsigned value;
} instruction_set;

// From the least to the most capable, as oneDNN numbers them.
static const instruction_set instruction_sets[] = {
    {"sse41", dnnl_cpu_isa_sse41},
    {"avx", dnnl_cpu_isa_avx},
    {"avx2", dnnl_cpu_isa_avx2},
    {"avx2_vnni", dnnl_cpu_isa_avx2_vnni},
    {"avx512_core", dnnl_cpu_isa_avx512_core},
    {"avx512_core_vnni", dnnl_cpu_isa_avx512_core_vnni},
    {"avx512_core_bf16", dnnl_cpu_isa_avx512_core_bf16},
#if CONVOY_DNNL_V3
    {"avx512_core_fp16", dnnl_cpu_isa_avx512_core_fp16},
#endif
    {"avx512_core_amx", dnnl_cpu_isa_avx512_core_amx},
};
static const size_t instruction_set_count = sizeof instruction_sets / sizeof instruction_sets[0];

static const char *known_name(const char *name, const char *otherwise) {
    return convoy_dnnl_instruction_set_bits(name) ? name : otherwise;
}

#if defined(__x86_64__)
typedef struct {
    unsigned a, b, c, d;
} registers;

static registers processor(unsigned leaf, unsigned subleaf) {
    registers r = {0};
    __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
    return r;
}

static unsigned saved_state(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

#define BIT(word, number) (((word) >> (number)) & 1u)

// Returns whether AMX can be used. Linux grants the tile registers on request (arch_prctl(2),
// ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
static int may_use_tiles(unsigned state, registers features) {
    const long request_permission = 0x1023, tile_data = 18;
    return (state & 0x60000u) == 0x60000u && BIT(features.d, 22) && BIT(features.d, 24) &&
           BIT(features.d, 25) && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

// Source: Intel SDM, volume 2, CPUID; volume 1, 13.3 (XCR0).
const char *convoy_dnnl_host_instruction_set(void) {
    registers basic = processor(1, 0), features = processor(7, 0), more = processor(7, 1);
    if (!BIT(basic.c, 19)) return "default";
    unsigned state = BIT(basic.c, 27) ? saved_state() : 0;
    if (!BIT(basic.c, 28) || (state & 0x6u) != 0x6u) return "sse41";
    if (!BIT(features.b, 5)) return "avx";
    const char *without_512 = BIT(more.a, 4) ? "avx2_vnni" : "avx2";
    int has_512 = (state & 0xE6u) == 0xE6u && BIT(features.b, 16) && BIT(features.b, 17) &&
                  BIT(features.b, 30) && BIT(features.b, 31);
    if (!has_512) return without_512;
    if (!BIT(features.c, 11)) return "avx512_core";
    if (!BIT(more.a, 5)) return "avx512_core_vnni";
    int has_half = BIT(features.d, 23) && BIT(more.a, 4);
    if (may_use_tiles(state, features) && (has_half || !CONVOY_DNNL_V3)) return "avx512_core_amx";
    return has_half ? known_name("avx512_core_fp16", "avx512_core_bf16") : "avx512_core_bf16";
}
#else
const char *convoy_dnnl_host_instruction_set(void) { return known_name("default", "default"); }
#endif

const char *convoy_dnnl_effective_instruction_set(void) {
    unsigned value = (unsigned)dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < instruction_set_count; i++)
        if (instruction_sets[i].value == value) return instruction_sets[i].name;
    return "default";
}

unsigned convoy_dnnl_instruction_set_bits(const char *name) {
    for (size_t i = 0; i < instruction_set_count; i++)
        if (strcmp(instruction_sets[i].name, name) == 0) return instruction_sets[i].value;
    return 0;
}

int convoy_dnnl_set_maximum_instruction_set(const char *name) {
    unsigned value = convoy_dnnl_instruction_set_bits(name);
    if (value == 0)
        return convoy_dnnl_fail(-1, "this build of oneDNN knows no instruction set '%s'", name);
    return convoy_dnnl_check(dnnl_set_max_cpu_isa((dnnl_cpu_isa_t)value),
                             "capping the instruction set");
}
