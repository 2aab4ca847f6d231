#include "service/brain/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GROW_FIRST 8

void *memory_new(size_t count, size_t size)
{
    void *pointer = calloc(count, size);
    if (pointer == NULL)
        abort();
    return pointer;
}

void *memory_grow(void *items, size_t count, size_t *capacity, size_t size)
{
    assert(count <= *capacity);
    if (count < *capacity)
        return items;
    const size_t wanted = *capacity == 0 ? GROW_FIRST : *capacity * 2;
    char *grown = reallocarray(items, wanted, size);
    if (grown == NULL)
        abort();
    memset(grown + count * size, 0, (wanted - count) * size);
    *capacity = wanted;
    return grown;
}

char *memory_copy_text(const char *text)
{
    if (text == NULL)
        return NULL;
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

void memory_free(void *pointer)
{
    free(pointer);
}
