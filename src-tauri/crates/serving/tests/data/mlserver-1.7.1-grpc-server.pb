
mlserver1.7.1