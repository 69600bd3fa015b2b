module store
  type :: cache
    integer :: n
  end type
contains
  subroutine evict(n)
    integer :: n
  end subroutine
  real function area(x) result(y)
    real :: x
  end function
end module
program main
end program
