#include "textflag.h"

// func lines(mem []byte, at []uint64)
TEXT ·lines(SB), NOSPLIT, $0-48
	MOVQ mem_base+0(FP), DI
	MOVQ at_base+24(FP), SI
	MOVQ at_len+32(FP), CX
	LEAQ (SI)(CX*8), CX

next:
	CMPQ SI, CX
	JGE  done
	MOVQ (SI), AX
	PREFETCHT0 (DI)(AX*1)
	ADDQ $8, SI
	JMP  next

done:
	RET
