package main

import "testing"

func TestStats(t *testing.T) {
	tests := []struct {
		name          string
		values        []float64
		median, least float64
	}{
		{"none", nil, 0, 0},
		{"one", []float64{3}, 3, 3},
		{"odd", []float64{9, 1, 2}, 2, 1},
		{"even", []float64{4, 1, 9, 2}, 3, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := median(tt.values); got != tt.median {
				t.Errorf("the median is %g", got)
			}
			if got := least(tt.values); got != tt.least {
				t.Errorf("the least is %g", got)
			}
		})
	}
}
