#include "trainer/data/data.h"

const struct data_reader *const data_readers[] = {
    [DATA_IDX] = &data_reader_idx,
    [DATA_CSV] = &data_reader_csv,
    [DATA_TSV] = &data_reader_tsv,
    [DATA_TEXT] = &data_reader_text,
    [DATA_JSONL] = &data_reader_jsonl,
    [DATA_NPY] = &data_reader_npy,
    [DATA_INTERACTIONS] = &data_reader_interactions,
};
