package store

import (
	"encoding/binary"
	"fmt"
	"math"
)

// halves are the vectors of one model, one for each memory of a scope, in the
// half precision (IEEE 754 binary16) in which they are stored.
type halves struct {
	dimensions int
	// values are those of the first memory, then those of the second.
	values []uint16
	// versions are those of the rows, 0 where a memory has no vector, and norms
	// the squares of the lengths.
	versions []uint32
	norms    []float64
}

func newHalves(dimensions, memories int) *halves {
	return &halves{dimensions, make([]uint16, dimensions*memories), make([]uint32, memories), make([]float64, memories)}
}

func (h *halves) bytes() int64 { return int64(2*len(h.values) + 12*len(h.versions)) }

func (h *halves) of(memory int) []uint16 {
	return h.values[memory*h.dimensions : (memory+1)*h.dimensions]
}

// take gives a memory the vector that another set has of it.
func (h *halves) take(memory int, from *halves, at int) {
	copy(h.of(memory), from.of(at))
	h.versions[memory], h.norms[memory] = from.versions[at], from.norms[at]
}

// read gives a memory the vector that halfvec_send sent: how many dimensions in
// 16 bits, 16 bits that are 0, and the values, big-endian; see halfvec_send in
// pgvector's src/halfvec.c.
func (h *halves) read(memory int, version uint32, data []byte) error {
	if len(data) != 4+2*h.dimensions || int(binary.BigEndian.Uint16(data)) != h.dimensions {
		return fmt.Errorf("a vector of %d dimensions has %d bytes", h.dimensions, len(data))
	}
	values := h.of(memory)
	for i := range values {
		values[i] = binary.BigEndian.Uint16(data[4+2*i:])
	}
	h.versions[memory] = version
	norm := 0.0
	for _, v := range values {
		x := float64(widen(v)) * halfScale
		norm += x * x
	}
	h.norms[memory] = norm
	return nil
}

// halfScale is what the exponent of a half adds when its bits are taken for
// those of a single: the bias is 127 there and 15 here.
const halfScale = 1 << 112

// widen takes the bits of a half for those of a single, which is smaller by
// [halfScale]. Vectors have no infinity and no NaN.
func widen(v uint16) float32 {
	return math.Float32frombits(uint32(int32(int16(v))<<13) & 0x8fffe000)
}

// queryScale is the part of [halfScale] that a question's values can bear
// without an overflow; the rest comes after the sum.
const (
	queryScale = 1 << 100
	restScale  = halfScale / queryScale
)

// cosines are the similarities of all vectors to a question's: not a number
// where one has no direction or there is none.
func (h *halves) cosines(question []float32) ([]float64, error) {
	if len(question) != h.dimensions {
		return nil, fmt.Errorf("the question's vector has %d dimensions, and those of the memories %d", len(question), h.dimensions)
	}
	scaled := make([]float32, len(question))
	norm := 0.0
	for i, x := range question {
		x = round(x)
		norm += float64(x) * float64(x)
		scaled[i] = x * queryScale
	}
	out := make([]float64, len(h.versions))
	for i, version := range h.versions {
		if version == 0 {
			out[i] = math.NaN()
			continue
		}
		similarity := float64(dot(h.of(i), scaled)) * restScale / math.Sqrt(norm*h.norms[i])
		if similarity > 1 { // as pgvector's cosine_distance, and false of NaN
			similarity = 1
		} else if similarity < -1 {
			similarity = -1
		}
		out[i] = similarity
	}
	return out, nil
}

// round gives the nearest half, the even one of two, as Postgres makes of a
// question's vector. Larger ones than a half can be are refused there.
func round(x float32) float32 {
	exponent := max(math.Ilogb(float64(x)), -14)
	return float32(math.Ldexp(math.RoundToEven(math.Ldexp(float64(x), 10-exponent)), exponent-10))
}

// dot adds in four sums, for the processor to add side by side.
func dot(v []uint16, q []float32) float32 {
	q = q[:len(v)]
	var a, b, c, d float32
	for len(v) >= 4 {
		a += widen(v[0]) * q[0]
		b += widen(v[1]) * q[1]
		c += widen(v[2]) * q[2]
		d += widen(v[3]) * q[3]
		v, q = v[4:], q[4:]
	}
	for i, x := range v {
		a += widen(x) * q[i]
	}
	return (a + b) + (c + d)
}
