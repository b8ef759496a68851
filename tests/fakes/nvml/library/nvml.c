/*
 * A libnvidia-ml.so.1 whose answers come from a file, so that the real dlopen,
 * the real symbol lookup and the real structures are tested without a GPU.
 *
 * The file is named by DUBNIUM_FAKE_NVML, or is called "answers" and lies next
 * to the library. It is read at every call, one fact a line:
 *
 *   fail  FUNCTION CODE             FUNCTION gives the nvmlReturn_t CODE
 *   hang  FUNCTION                  FUNCTION never returns
 *   crash FUNCTION                  FUNCTION touches memory that there is not
 *   log   FILE                      each call appends its name to FILE
 *   driver VERSION
 *   gpu   INDEX PCI UUID USED TOTAL RESERVED DISPLAY PERSISTENCE
 *                                   memory in bytes, switches 0 or 1
 *   process INDEX KIND PID USED     KIND is graphics, compute or mps; USED in
 *                                   bytes, or -1 for "not available"
 *
 * With -DOLD it is the library of an older driver: no versions above 1 of
 * anything but nvmlInit, no MPS list, no display state.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { GPUS = 8, PROCESSES = 256, LINE = 512, NAME = 128 };

struct process { char kind[16]; unsigned pid; long long used; };
struct gpu {
	unsigned index;
	char pci[32], uuid[NAME];
	unsigned long long used, total, reserved;
	int display, persistence;
	struct process processes[PROCESSES];
	int count;
};

static struct gpu gpus[GPUS];
static int count;
static char driver[NAME];

static const char *answers(void)
{
	static char path[4096];
	const char *env = getenv("DUBNIUM_FAKE_NVML");
	Dl_info self;
	if (env && *env)
		return env;
	if (!dladdr((void *)answers, &self) || !self.dli_fname)
		return "answers";
	snprintf(path, sizeof path, "%s", self.dli_fname);
	char *slash = strrchr(path, '/');
	snprintf(slash ? slash + 1 : path, 64, "answers");
	return path;
}

static void append(const char *file, const char *function)
{
	FILE *f = fopen(file, "a");
	if (!f)
		abort();
	fprintf(f, "%s\n", function);
	fclose(f);
}

/* enter reads the answers and does what they say about a function. */
static int enter(const char *function)
{
	char line[LINE], a[NAME], b[NAME];
	int code = SUCCESS, n;
	struct gpu g;
	struct process p;
	unsigned index;
	FILE *f = fopen(answers(), "r");
	if (!f)
		return 999;
	memset(gpus, 0, sizeof gpus);
	count = 0;
	while (fgets(line, sizeof line, f)) {
		memset(&g, 0, sizeof g);
		if (sscanf(line, "fail %127s %d", a, &n) == 2 && !strcmp(a, function))
			code = n;
		else if (sscanf(line, "hang %127s", a) == 1 && !strcmp(a, function))
			for (;;)
				pause();
		else if (sscanf(line, "crash %127s", a) == 1 && !strcmp(a, function))
			*(volatile int *)8 = 1;
		else if (sscanf(line, "log %127s", b) == 1)
			append(b, function);
		else if (sscanf(line, "driver %127s", driver) == 1)
			continue;
		else if (sscanf(line, "gpu %u %31s %127s %llu %llu %llu %d %d", &g.index, g.pci, g.uuid, &g.used,
				&g.total, &g.reserved, &g.display, &g.persistence) == 8 && count < GPUS)
			gpus[count++] = g;
		else if (sscanf(line, "process %u %15s %u %lld", &index, p.kind, &p.pid, &p.used) == 4)
			for (int i = 0; i < count; i++)
				if (gpus[i].index == index && gpus[i].count < PROCESSES)
					gpus[i].processes[gpus[i].count++] = p;
	}
	fclose(f);
	return code;
}

#define ENTER do { int code = enter(__func__); if (code != SUCCESS) return code; } while (0)
#define COPY(to, size, from) snprintf((to), (size), "%s", (from))

/* A handle is the place in gpus, plus one. */
static struct gpu *of(void *device)
{
	intptr_t i = (intptr_t)device;
	return i >= 1 && i <= count ? &gpus[i - 1] : NULL;
}

EXPORT int nvmlInit_v2(void) { ENTER; return SUCCESS; }
EXPORT int nvmlShutdown(void) { ENTER; return SUCCESS; }

EXPORT int nvmlSystemGetDriverVersion(char *to, unsigned size)
{
	ENTER;
	COPY(to, size, driver);
	return SUCCESS;
}

static int get_count(unsigned *n) { *n = count; return SUCCESS; }

static int by_index(unsigned index, void **device)
{
	for (int i = 0; i < count; i++)
		if (gpus[i].index == index) {
			*device = (void *)(intptr_t)(i + 1);
			return SUCCESS;
		}
	return INVALID_ARGUMENT;
}

static int by_pci(const char *pci, void **device)
{
	size_t length = strlen(pci);
	for (int i = 0; i < count; i++) {
		size_t have = strlen(gpus[i].pci);
		if (have >= length && !strcasecmp(gpus[i].pci + have - length, pci)) {
			*device = (void *)(intptr_t)(i + 1);
			return SUCCESS;
		}
	}
	return NOT_FOUND;
}

struct pci_info { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };

static int pci_info(void *device, struct pci_info *to, int with_bus_id)
{
	struct gpu *g = of(device);
	if (!g)
		return INVALID_ARGUMENT;
	size_t length = strlen(g->pci);
	COPY(to->legacy, sizeof to->legacy, g->pci + (length > 12 ? length - 12 : 0));
	if (with_bus_id)
		COPY(to->bus_id, sizeof to->bus_id, g->pci);
	return SUCCESS;
}

struct info_v1 { unsigned pid; unsigned long long used; };
struct info_v3 { unsigned pid; unsigned long long used; unsigned gi, ci; };

static int list(void *device, const char *kind, unsigned *size, char *to, size_t each)
{
	struct gpu *g = of(device);
	unsigned n = 0;
	if (!g)
		return INVALID_ARGUMENT;
	for (int i = 0; i < g->count; i++)
		n += !strcmp(g->processes[i].kind, kind);
	if (n > *size) {
		*size = n;
		return INSUFFICIENT_SIZE;
	}
	*size = n;
	for (int i = 0; i < g->count; i++) {
		if (strcmp(g->processes[i].kind, kind))
			continue;
		struct info_v1 info = { g->processes[i].pid, (unsigned long long)g->processes[i].used };
		memcpy(to, &info, sizeof info);
		to += each;
	}
	return SUCCESS;
}

#define LIST(function, kind, type) \
	EXPORT int function(void *device, unsigned *size, type *to) { ENTER; return list(device, kind, size, (char *)to, sizeof *to); }

struct memory_v1 { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };

EXPORT int nvmlDeviceGetMemoryInfo(void *device, struct memory_v1 *to)
{
	ENTER;
	struct gpu *g = of(device);
	if (!g)
		return INVALID_ARGUMENT;
	to->total = g->total;
	to->used = g->used;
	to->free = g->total - g->used;
	return SUCCESS;
}

EXPORT int nvmlDeviceGetUUID(void *device, char *to, unsigned size)
{
	ENTER;
	struct gpu *g = of(device);
	if (!g)
		return INVALID_ARGUMENT;
	COPY(to, size, g->uuid);
	return SUCCESS;
}

EXPORT int nvmlDeviceGetName(void *device, char *to, unsigned size)
{
	ENTER;
	if (!of(device))
		return INVALID_ARGUMENT;
	COPY(to, size, "Fake GPU");
	return SUCCESS;
}

EXPORT int nvmlDeviceGetIndex(void *device, unsigned *to)
{
	ENTER;
	struct gpu *g = of(device);
	if (!g)
		return INVALID_ARGUMENT;
	*to = g->index;
	return SUCCESS;
}

EXPORT int nvmlDeviceGetPersistenceMode(void *device, int *to)
{
	ENTER;
	struct gpu *g = of(device);
	if (!g)
		return INVALID_ARGUMENT;
	*to = g->persistence;
	return SUCCESS;
}

#ifdef OLD

EXPORT int nvmlDeviceGetCount(unsigned *n) { ENTER; return get_count(n); }
EXPORT int nvmlDeviceGetHandleByIndex(unsigned i, void **device) { ENTER; return by_index(i, device); }
EXPORT int nvmlDeviceGetHandleByPciBusId(const char *pci, void **device) { ENTER; return by_pci(pci, device); }
EXPORT int nvmlDeviceGetPciInfo(void *device, struct pci_info *to) { ENTER; return pci_info(device, to, 0); }
LIST(nvmlDeviceGetComputeRunningProcesses, "compute", struct info_v1)
LIST(nvmlDeviceGetGraphicsRunningProcesses, "graphics", struct info_v1)

#else

EXPORT int nvmlDeviceGetCount_v2(unsigned *n) { ENTER; return get_count(n); }
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) { ENTER; return by_index(i, device); }
EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **device) { ENTER; return by_pci(pci, device); }
EXPORT int nvmlDeviceGetPciInfo_v3(void *device, struct pci_info *to) { ENTER; return pci_info(device, to, 1); }
LIST(nvmlDeviceGetComputeRunningProcesses_v3, "compute", struct info_v3)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics", struct info_v3)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, "mps", struct info_v3)

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *to)
{
	ENTER;
	struct gpu *g = of(device);
	if (!g || to->version != (sizeof *to | 2u << 24))
		return INVALID_ARGUMENT;
	to->total = g->total;
	to->reserved = g->reserved;
	to->used = g->used;
	to->free = g->total - g->used - g->reserved;
	return SUCCESS;
}

EXPORT int nvmlDeviceGetDisplayActive(void *device, int *to)
{
	ENTER;
	struct gpu *g = of(device);
	if (!g)
		return INVALID_ARGUMENT;
	*to = g->display;
	return SUCCESS;
}

#endif
