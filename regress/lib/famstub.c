/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * In the place of libfam, through which Courier watches its files: where the
 * daemon behind it is missing each STATUS waits for it.
 */

int	FAMErrno;

int	FAMOpen(void *);
int	FAMClose(void *);
int	FAMMonitorDirectory(void *, const char *, void *, void *);
int	FAMMonitorFile(void *, const char *, void *, void *);
int	FAMCancelMonitor(void *, const void *);
int	FAMPending(void *);
int	FAMNextEvent(void *, void *);

int
FAMOpen(void *fc)
{
	*(int *)fc = -1;
	return 0;
}

int
FAMClose(void *fc)
{
	(void)fc;
	return 0;
}

int
FAMMonitorDirectory(void *fc, const char *name, void *fr, void *data)
{
	(void)fc;
	(void)name;
	(void)fr;
	(void)data;
	return 0;
}

int
FAMMonitorFile(void *fc, const char *name, void *fr, void *data)
{
	return FAMMonitorDirectory(fc, name, fr, data);
}

int
FAMCancelMonitor(void *fc, const void *fr)
{
	(void)fc;
	(void)fr;
	return 0;
}

int
FAMPending(void *fc)
{
	(void)fc;
	return 0;
}

int
FAMNextEvent(void *fc, void *fe)
{
	(void)fc;
	(void)fe;
	return -1;
}
