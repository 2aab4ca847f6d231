#include "trainer/optim/schedule.h"

#include <assert.h>
#include <math.h>

#define PI 3.14159265358979323846

double schedule_factor(const struct schedule_spec *spec, int64_t step, int64_t total_steps)
{
    assert(step >= 1);
    if (step < spec->warmup_steps)
        return (double)step / (double)spec->warmup_steps;
    const int64_t top =
        spec->warmup_steps > 0 ? spec->warmup_steps : 1; /* the step with factor 1 */
    const double since = (double)(step - top);
    const int64_t falls = spec->every_steps > 0 ? (step - top) / spec->every_steps : 0;
    const double x = step > top ? since / (double)(total_steps - top) : 0.0;
    switch ((enum schedule_type)spec->type) {
    case SCHEDULE_CONSTANT:
        break;
    case SCHEDULE_STEP:
        return pow(spec->factor, (double)falls);
    case SCHEDULE_COSINE:
        return spec->min_factor + (1.0 - spec->min_factor) * (1.0 + cos(PI * x)) / 2.0;
    case SCHEDULE_LINEAR:
        return 1.0 + (spec->min_factor - 1.0) * x;
    }
    return 1.0;
}
