#include "trainer/data/data.h"

const struct data_reader *const data_readers[] = {
    [DATA_IDX] = &data_reader_idx,
};
