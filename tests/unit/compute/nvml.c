/* A stand-in for libnvidia-ml.so.1 that tells what a text file says, so that nvidia-ml-py runs for real without a GPU.
 *
 * $GPUS names the file. First line: the status with which the library starts (0 is good, 9 "driver not loaded").
 * Then a line for each GPU: name (no spaces), total and used MiB, percent busy (-1: not supported), and
 * pid:MiB pairs ("-": no process). A GPU named LOST has no handle.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, TOO_SMALL = 7, DRIVER_NOT_LOADED = 9, LOST = 15, MOST = 8 };

struct process { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; };
struct gpu { char name[64]; unsigned long long total, used; int busy; unsigned count; struct process processes[MOST]; };
struct memory { unsigned long long total, free, used; };
struct rates { unsigned gpu, memory; };

static struct gpu gpus[MOST];
static unsigned count;

static int load(void)
{
    FILE *file = getenv("GPUS") ? fopen(getenv("GPUS"), "r") : NULL;
    int status = DRIVER_NOT_LOADED;
    char pairs[512];
    if (!file) return status;
    if (fscanf(file, "%d", &status) != 1) status = DRIVER_NOT_LOADED;
    for (count = 0; count < MOST; count++) {
        struct gpu *gpu = &gpus[count];
        if (fscanf(file, "%63s %llu %llu %d %511s", gpu->name, &gpu->total, &gpu->used, &gpu->busy, pairs) != 5) break;
        gpu->count = 0;
        for (char *pair = strtok(pairs, ","); pair && gpu->count < MOST; pair = strtok(NULL, ",")) {
            struct process *p = &gpu->processes[gpu->count];
            if (sscanf(pair, "%u:%llu", &p->pid, &p->bytes) != 2) continue;
            p->bytes <<= 20;
            p->gpu_instance = p->compute_instance = ~0u;
            gpu->count++;
        }
    }
    fclose(file);
    return status;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return load(); }
const char *nvmlErrorString(int status) { return status == LOST ? "GPU is lost" : "the test says so"; }
int nvmlDeviceGetCount_v2(unsigned *number) { int status = load(); *number = count; return status; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
    *handle = &gpus[index];
    return strcmp(gpus[index].name, "LOST") ? OK : LOST;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned size)
{
    snprintf(name, size, "%s", ((struct gpu *)handle)->name);
    return OK;
}

int nvmlDeviceGetMemoryInfo(void *handle, struct memory *memory)
{
    struct gpu *gpu = handle;
    if (!gpu->total) return NOT_SUPPORTED;
    memory->total = gpu->total << 20;
    memory->used = gpu->used << 20;
    memory->free = memory->total - memory->used;
    return OK;
}

int nvmlDeviceGetUtilizationRates(void *handle, struct rates *rates)
{
    struct gpu *gpu = handle;
    if (gpu->busy < 0) return NOT_SUPPORTED;
    rates->gpu = gpu->busy;
    rates->memory = 0;
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *room, struct process *processes)
{
    struct gpu *gpu = handle;
    unsigned given = *room;
    *room = gpu->count;
    if (given < gpu->count) return TOO_SMALL;
    if (processes) memcpy(processes, gpu->processes, gpu->count * sizeof *processes);
    return OK;
}
