#include "textflag.h"

// func prefetch(slots []Record, lines []Index)
TEXT ·prefetch(SB), NOSPLIT, $0-48
	MOVQ slots_base+0(FP), DI
	MOVQ lines_base+24(FP), SI
	MOVQ lines_len+32(FP), CX
	LEAQ (SI)(CX*4), CX

next:
	CMPQ SI, CX
	JGE  done
	MOVL (SI), AX
	SHLQ $6, AX // recordSize
	PREFETCHT0 (DI)(AX*1)
	ADDQ $4, SI
	JMP  next

done:
	RET
