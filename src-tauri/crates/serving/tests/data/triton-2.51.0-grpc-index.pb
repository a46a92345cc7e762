

tumours1READY