#include <stdio.h>

#define LWIP_PLATFORM_DIAG(printed) \
    do {                            \
        printf printed;             \
    } while (0)
#define LWIP_PLATFORM_ASSERT(text) for (;;)
typedef int sys_prot_t;
