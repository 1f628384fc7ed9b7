#include <stdint.h>
#include <sys/mman.h>

#include "convoy_kernels.h"

void convoy_use_huge_pages(void *memory, ptrdiff_t byte_count) {
#if defined(MADV_HUGEPAGE)
    // The call takes whole pages; 64 KiB is a multiple of every usual size of one.
    const uintptr_t page = 65536;
    const uintptr_t begin = ((uintptr_t)memory + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)memory + (uintptr_t)byte_count) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)memory, (void)byte_count;
#endif
}
