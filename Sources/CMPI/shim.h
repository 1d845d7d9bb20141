#pragma once
#include <mpi.h>

// Open MPI's handles are macros that cast addresses, which Swift does not import.
static inline MPI_Comm lockstep_mpi_comm_world(void) { return MPI_COMM_WORLD; }
static inline MPI_Datatype lockstep_mpi_byte(void) { return MPI_BYTE; }
static inline MPI_Errhandler lockstep_mpi_errors_return(void) { return MPI_ERRORS_RETURN; }
static inline void *lockstep_mpi_in_place(void) { return MPI_IN_PLACE; }
static inline MPI_Info lockstep_mpi_info_null(void) { return MPI_INFO_NULL; }
static inline MPI_Status *lockstep_mpi_status_ignore(void) { return MPI_STATUS_IGNORE; }
static inline int lockstep_mpi_undefined(void) { return MPI_UNDEFINED; }
