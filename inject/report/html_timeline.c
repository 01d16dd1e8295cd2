/*
 * html_timeline.c - what happened in a case over time: three lanes, one under the other, over the same seconds.
 */
#include <inttypes.h>

#include "report/html.h"

enum {
    WIDTH = 720,
    LEFT = 4,
    LANE = 66,
    GAP = 10,
    TOP = 6,
    WORDS = 20,
    LANES = 3,
    SHORTEST = 10, /* ms between two samples that make a rate: the kernel counts time in steps */
};

/* A figure of a sample, or its rate since the one before. */
typedef double figure(const struct sample *before, const struct sample *now);

static double seconds(const struct sample *before, const struct sample *now)
{
    uint32_t ms = now->ms > before->ms ? now->ms - before->ms : 0;
    return (double)(ms > SHORTEST ? ms : SHORTEST) / 1000;
}

static double cpu(const struct sample *before, const struct sample *now)
{
    return now->cpu_us > before->cpu_us ? (double)(now->cpu_us - before->cpu_us) / 1e4 / seconds(before, now) : 0;
}

static double failing(const struct sample *before, const struct sample *now)
{
    return now->failed > before->failed ? (double)(now->failed - before->failed) / seconds(before, now) : 0;
}

static double waiting(const struct sample *before, const struct sample *now)
{
    (void)before;
    return now->waiting;
}

static const struct lane {
    const char *name, *unit, *class;
    figure *value;
} lanes[LANES] = {
    {"CPU", "% of a core", "cpu", cpu},
    {"failing calls", "a second", "fail", failing},
    {"clients waiting", "", "wait", waiting},
};

static double x_of(const struct measures *m, double ms)
{
    double first = m->samples[0].ms, last = m->samples[m->sample_count - 1].ms;
    double part = last > first ? (ms - first) / (last - first) : 0;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return LEFT + part * (WIDTH - LEFT - 4);
}

static double highest(const struct measures *m, figure *value)
{
    double most = 0;
    for (uint32_t i = 1; i < m->sample_count; i++) {
        double one = value(&m->samples[i - 1], &m->samples[i]);
        most = one > most ? one : most;
    }
    return most;
}

static void write_lane(const struct measures *m, size_t i, FILE *out)
{
    const struct lane *lane = &lanes[i];
    double most = highest(m, lane->value), bottom = TOP + (double)(i + 1) * LANE + (double)i * GAP;
    fprintf(out, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - 4, bottom, bottom);
    fprintf(out, "<text x=\"%d\" y=\"%.1f\">%s: %s%.0f %s</text>", LEFT + 6, bottom - LANE + 14, lane->name,
            most > 0 ? "up to " : "", most, lane->unit);
    fprintf(out, "<polyline class=\"%s\" points=\"", lane->class);
    for (uint32_t s = 1; s < m->sample_count; s++) {
        double value = lane->value(&m->samples[s - 1], &m->samples[s]);
        fprintf(out, "%.1f,%.1f ", x_of(m, m->samples[s].ms), bottom - (most > 0 ? value / most * (LANE - WORDS) : 0));
    }
    fputs("\"/>", out);
}

void html_timeline(const struct measures *m, FILE *out)
{
    int height = TOP + LANES * LANE + (LANES - 1) * GAP + 22;
    if (m->sample_count < 2)
        return;
    fprintf(out,
            "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"processor time, failing calls and waiting clients "
            "over time\">",
            WIDTH, height);
    if (m->armed && m->released_ms > m->armed_ms) {
        double from = x_of(m, (double)m->armed_ms), to = x_of(m, (double)m->released_ms);
        fprintf(
            out,
            "<rect class=\"fault\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>the fault</title></rect>",
            from, TOP, to - from < 1.5 ? 1.5 : to - from, height - TOP - 20);
    }
    for (size_t i = 0; i < LANES; i++)
        write_lane(m, i, out);
    uint32_t first = m->samples[0].ms, last = m->samples[m->sample_count - 1].ms;
    fprintf(out, "<text x=\"%d\" y=\"%d\">%" PRIu32 " ms after the start</text>", LEFT, height - 4, first);
    fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%" PRIu32 " ms</text></svg>\n", WIDTH - 4, height - 4,
            last);
}
