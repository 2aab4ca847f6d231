#include "trainer/model/columns.h"

#include <stdio.h>

void columns_plan(const struct data_spec *data, int64_t embedding_width, struct columns *out)
{
    *out = (struct columns){.width = (int)embedding_width};
    for (size_t i = 0; i < data->column_count; i++) {
        if (data->columns[i].kind == COLUMN_CATEGORY)
            out->buckets[out->count++] = data->columns[i].buckets;
    }
}

int columns_width(const struct columns *columns)
{
    return columns->count * columns->width;
}

void columns_describe(struct columns *columns, struct parameter *out,
                      char names[][MODEL_NAME_BYTES], size_t *offset)
{
    size_t flags = 0;
    for (int i = 0; i < columns->count; i++) {
        (void)snprintf(names[i], MODEL_NAME_BYTES, "embedding.%d.weight", i);
        out[i] = (struct parameter){.name = names[i],
                                    .dims = 2,
                                    .shape = {columns->buckets[i], columns->width},
                                    .offset = *offset,
                                    .count = (size_t)(columns->buckets[i] * columns->width),
                                    .init = PARAMETER_NORMAL,
                                    .bound = 1.0F,
                                    .is_table = true,
                                    .flags = flags};
        *offset += out[i].count;
        flags += (size_t)columns->buckets[i];
    }
    columns->tables = out;
}

enum status columns_forward(const struct columns *columns, struct device device,
                            const float *parameters, const int32_t *ids, int rows, float *out,
                            int stride, int first, struct error *err)
{
    for (int i = 0; i < columns->count; i++)
        TRY(device.ops->embedding_gather(device.compute, out + first + i * columns->width, stride,
                                         parameters + columns->tables[i].offset, ids + i,
                                         columns->count, rows, columns->width, err));
    return STATUS_OK;
}

enum status columns_backward(const struct columns *columns, struct device device, float *gradients,
                             float *flags, const int32_t *ids, int rows, const float *d_out,
                             int stride, int first, struct error *err)
{
    for (int i = columns->count - 1; i >= 0; i--) {
        const struct parameter *table = &columns->tables[i];
        TRY(device.ops->embedding_scatter_add(device.compute, gradients + table->offset,
                                              flags == NULL ? NULL : flags + table->flags,
                                              d_out + first + i * columns->width, stride, ids + i,
                                              columns->count, rows, columns->width, err));
    }
    return STATUS_OK;
}
